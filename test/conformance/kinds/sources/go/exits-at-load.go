package main

import (
	"fmt"
	"os"
)

func init() {
	fmt.Println("last words")
	os.Exit(3)
}

func Main(params map[string]any) map[string]any {
	return params
}
