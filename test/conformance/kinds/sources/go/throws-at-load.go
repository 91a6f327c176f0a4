package main

func prepare() string {
	panic("no luck") // @here
}

var prepared = prepare()

func Main(map[string]any) map[string]any {
	return map[string]any{"prepared": prepared}
}
