package deep

import _ "embed"

//go:embed nested.txt
var text string

func Nested() string { return text }
