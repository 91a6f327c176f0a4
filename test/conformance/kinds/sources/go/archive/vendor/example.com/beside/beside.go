package beside

func Beside() string { return "beside" }
