package main

func Another(params map[string]any) map[string]any {
	return params
}
