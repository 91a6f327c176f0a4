package main

import (
	"fmt"
	"time"
)

func init() {
	fmt.Println("still loading")
	for {
		time.Sleep(time.Second)
	}
}

func Main(params map[string]any) map[string]any {
	return params
}
