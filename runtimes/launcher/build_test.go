package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestDiagnosticsAreReadFromWhatCompilersSay(t *testing.T) {
	printed := "# action\n./main.go:4:2: undefined: x\n/src/b.go:7: no column\nnote: nothing\nsaid: 5: not a place\n"
	found := diagnosticsIn([]byte(printed), "/src")
	wanted := []diagnostic{{"main.go", 4, 2, "undefined: x"}, {"b.go", 7, 0, "no column"}}
	if !reflect.DeepEqual(found[:2], wanted) {
		t.Errorf("%v, not %v", found, wanted)
	}
}

func TestPackingTheSameFilesMakesTheSameBytes(t *testing.T) {
	packed := func() []byte {
		directory := t.TempDir()
		for _, name := range []string{"b", "a/c"} {
			path := filepath.Join(directory, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		archive, err := pack(directory)
		if err != nil {
			t.Fatal(err)
		}
		return archive
	}
	if !bytes.Equal(packed(), packed()) {
		t.Error("it differs")
	}
	if _, err := pack(t.TempDir()); err == nil {
		t.Error("nothing was packed without a complaint")
	}
}
