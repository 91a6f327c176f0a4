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

func TestTheLargestPackagesAreNamed(t *testing.T) {
	directory := t.TempDir()
	for name, kib := range map[string]int{
		"index.js":                           1,
		"node_modules/@scope/heavy/a/b.js":   3 * 1024,
		"node_modules/@scope/heavy/c.js":     1024,
		"node_modules/.deno/x@1/y.js":        512,
		"packages/numpy/core.so":             2 * 1024,
		"vendor/bundle/ruby/3.3.0/gems/g/l":  256,
		"vendor/symfony/console/Console.php": 128,
		"vendor/autoload.php":                1,
	} {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, kib*1024), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := "node_modules/@scope/heavy 4.0 MiB, packages/numpy 2.0 MiB, node_modules/.deno/x@1 0.5 MiB, " +
		"vendor/bundle/ruby/3.3.0/gems/g 0.2 MiB, vendor/symfony/console 0.1 MiB (unpacked)"
	if said := largest(directory); said != want {
		t.Errorf("%q", said)
	}
}
