module weft/launcher

go 1.26
