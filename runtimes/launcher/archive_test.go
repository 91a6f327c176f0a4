package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type entry struct {
	name    string
	content string
	mode    os.FileMode
}

func zipped(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		header.SetMode(e.mode)
		file, err := archive.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = file.Write([]byte(e.content))
	}
	_ = archive.Close()
	return buffer.Bytes()
}

func tarred(t *testing.T, headers ...*tar.Header) []byte {
	t.Helper()
	var buffer bytes.Buffer
	packed := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(packed)
	for _, header := range headers {
		content := strings.Repeat("x", int(header.Size))
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		_, _ = archive.Write([]byte(content))
	}
	_ = archive.Close()
	_ = packed.Close()
	return buffer.Bytes()
}

func read(t *testing.T, directory, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(directory, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAZipIsUnpacked(t *testing.T) {
	into := t.TempDir()
	err := unpack(zipped(t,
		entry{"a/", "", os.ModeDir | 0o755},
		entry{"a/deep/er.txt", strings.Repeat("ü", 10_000), 0o600},
		entry{"exec", "#!/bin/sh", 0o700},
		entry{"node_modules/.bin/run", "../../exec", os.ModeSymlink | 0o777},
	), into)
	if err != nil {
		t.Fatal(err)
	}
	if read(t, into, "a/deep/er.txt") != strings.Repeat("ü", 10_000) || read(t, into, "node_modules/.bin/run") != "#!/bin/sh" {
		t.Error("the content is another")
	}
	if info, _ := os.Stat(filepath.Join(into, "exec")); info.Mode().Perm() != 0o755 {
		t.Errorf("exec has the mode %v", info.Mode())
	}
}

func TestATarIsUnpacked(t *testing.T) {
	into := t.TempDir()
	err := unpack(tarred(t,
		&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		&tar.Header{Name: "./lib/a.js", Typeflag: tar.TypeReg, Size: 3, Mode: 0o644},
		&tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "lib/a.js"},
	), into)
	if err != nil {
		t.Fatal(err)
	}
	if read(t, into, "link") != "xxx" {
		t.Error("the content is another")
	}
}

func TestArchivesThatCouldHarmAreRefused(t *testing.T) {
	hurt := zipped(t, entry{"a", strings.Repeat("abc", 1000), 0o644})
	hurt[50] ^= 0xff
	for name, c := range map[string]struct {
		code []byte
		says string
	}{
		"climbs out":                {zipped(t, entry{"../evil", "x", 0o644}), `"../evil" points outside of it`},
		"climbs out in the middle":  {zipped(t, entry{"a/../../evil", "x", 0o644}), "points outside of it"},
		"is absolute":               {zipped(t, entry{"/etc/evil", "x", 0o644}), "points outside of it"},
		"a link that leads out":     {zipped(t, entry{"l", "../x", os.ModeSymlink | 0o777}), "link that points outside"},
		"an absolute link":          {zipped(t, entry{"l", "/etc/passwd", os.ModeSymlink | 0o777}), "link that points outside"},
		"a way out through a link":  {zipped(t, entry{"d/d/s", "../..", os.ModeSymlink | 0o777}, entry{"d/d/s/u", "../../x", os.ModeSymlink | 0o777}, entry{"u/evil", "x", 0o644}), "cannot be unpacked"},
		"damaged":                   {hurt, "cannot be unpacked"},
		"cut":                       {hurt[:30], "is damaged"},
		"text":                      {[]byte("function main() {}"), "not a zip archive"},
		"nothing":                   {nil, "not a zip archive"},
		"a tar that climbs out":     {tarred(t, &tar.Header{Name: "../evil", Typeflag: tar.TypeReg, Mode: 0o644}), "points outside of it"},
		"a tar with a device":       {tarred(t, &tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}), "neither a file"},
		"a tar with a link outside": {tarred(t, &tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc"}), "points outside"},
	} {
		t.Run(name, func(t *testing.T) {
			into := filepath.Join(t.TempDir(), "in")
			if err := os.Mkdir(into, 0o755); err != nil {
				t.Fatal(err)
			}
			err := unpack(c.code, into)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if beside, _ := os.ReadDir(filepath.Dir(into)); len(beside) != 1 {
				t.Errorf("it wrote beside: %v", beside)
			}
		})
	}
}

func TestAnArchiveThatUnpacksToTooMuchIsRefused(t *testing.T) {
	code := tarred(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 1, Mode: 0o644})
	u := &unpacking{total: unpackedBytesMax}
	u.root, _ = os.OpenRoot(t.TempDir())
	if err := u.untar(code); err == nil || !strings.Contains(err.Error(), "unpacks to more than") {
		t.Error(err)
	}
}
