package main

import (
	"example.com/beside"

	"action/lib/deep"
)

func Main(map[string]any) map[string]any {
	return map[string]any{"from": []string{deep.Nested(), beside.Beside()}}
}
