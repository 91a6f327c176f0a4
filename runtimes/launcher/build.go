package main

// The build mode: source in, an archive of what sandboxes load out, or what is wrong with it. The kind's build command does
// the work. It finds
//
//	WEFT_BUILD_STEP   compile, resolve or check, as weft.runtime.v1.BuildStep says
//	WEFT_SOURCE_DIR   the source, unpacked; also its working folder
//	WEFT_SOURCE_FILE  name of the one file that source came as; empty for an archive
//	WEFT_OUTPUT_DIR   where what is loaded goes, empty
//	WEFT_BUILD_DIR    a folder for whatever it needs meanwhile
//	WEFT_LOCK_FILE    where it writes down what it resolved, if it did
//	WEFT_ACTION_MAIN  the function that is called
//
// and ends with 0, with 69 when it cannot build here, or otherwise when the source is at fault; what it printed is then the
// reason.

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	artifactBytesMax    = 48 * 1024 * 1024
	lockBytesMax        = 1024 * 1024
	diagnosticsMax      = 100
	diagnosticBytesMax  = 1024
	buildMessageBytes   = 16 * 1024
	buildOutputBytesMax = 256 * 1024
	// cannotBuildHere is EX_UNAVAILABLE of sysexits.h.
	cannotBuildHere = 69
)

const (
	built            = 1
	buildFailed      = 2
	buildUnavailable = 3
)

const (
	stepCompile = "compile"
	stepResolve = "resolve"
	stepCheck   = "check"
)

// stepName of weft.runtime.v1.BuildStep.
func stepName(step int) string {
	switch step {
	case 2:
		return stepResolve
	case 3:
		return stepCheck
	default:
		return stepCompile
	}
}

type buildMessage struct {
	actionName string
	main       string
	source     []byte
	binary     bool
	step       int
}

type diagnostic struct {
	file         string
	line, column int
	text         string
}

type buildResult struct {
	outcome     int
	artifact    []byte
	lock        []byte
	diagnostics []diagnostic
	message     string
}

// builder runs no actions: it answers one Build.
type builder struct {
	place
	// registries is the folder of what registries.go serves; "" for a build without a network.
	registries string
}

var errBuilds = errors.New("this sandbox builds; it runs no actions")

func (b *builder) load(initMessage, *output) error { return errBuilds }
func (b *builder) run(runMessage, *output) (int, []byte) {
	return developerError, errorJSON(errBuilds.Error())
}
func (b *builder) cancel(uint32)  {}
func (b *builder) memory() uint64 { return 0 }

func (b *builder) build(m buildMessage) buildResult {
	directory, err := os.MkdirTemp(b.work, "build-")
	if err != nil {
		return buildResult{outcome: buildUnavailable, message: err.Error()}
	}
	source, output := filepath.Join(directory, "source"), filepath.Join(directory, "output")
	lock := filepath.Join(directory, "lock")
	for _, folder := range []string{source, output} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return buildResult{outcome: buildUnavailable, message: err.Error()}
		}
	}
	step, file := stepName(m.step), ""
	switch {
	case m.binary && (isZip(m.source) || isGzip(m.source)):
		err = unpack(m.source, source)
	case m.binary:
		file = executable
	case step == stepCompile:
		file = "main" + b.extension
	default:
		file = b.fileName(m.actionName)
	}
	if file != "" {
		err = os.WriteFile(filepath.Join(source, file), m.source, 0o644)
	}
	if err != nil {
		return buildResult{outcome: buildFailed, message: err.Error()}
	}
	printed, status, err := b.command(m, step, file, directory, source, output, lock)
	switch {
	case err != nil:
		return buildResult{outcome: buildUnavailable, message: err.Error()}
	case status == cannotBuildHere:
		return buildResult{outcome: buildUnavailable, message: shortened(printed)}
	case status != 0:
		found := diagnosticsIn(printed, source)
		if len(printed) == 0 {
			printed = fmt.Appendf(nil, "the build ended with exit code %d", status)
		}
		return buildResult{outcome: buildFailed, diagnostics: found, message: shortened(printed)}
	}
	artifact, err := pack(output)
	if errors.Is(err, errArtifactTooLarge) {
		err = fmt.Errorf("%w; the largest parts: %s", err, largest(output))
	}
	if errors.Is(err, errNothingMade) && step != stepCompile {
		return buildResult{outcome: built}
	}
	if err != nil {
		return buildResult{outcome: buildFailed, message: err.Error()}
	}
	resolved, err := readAtMost(lock, lockBytesMax)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return buildResult{outcome: buildFailed, message: err.Error()}
	}
	return buildResult{outcome: built, artifact: artifact, lock: resolved}
}

func (b *builder) command(m buildMessage, step, file, directory, source, output, lock string) ([]byte, int, error) {
	main := m.main
	if main == "" {
		main = "main"
	}
	var printed []byte
	sink := func(_ int, data []byte) {
		printed = append(printed, data[:min(len(data), buildOutputBytesMax-len(printed))]...)
	}
	network, err := openRegistries(b.registries)
	if err != nil {
		return nil, 0, err
	}
	defer network.close()
	variables := map[string]string{
		"HOME":             directory,
		"TMPDIR":           directory,
		"WEFT_BUILD_STEP":  step,
		"WEFT_SOURCE_DIR":  source,
		"WEFT_SOURCE_FILE": file,
		"WEFT_OUTPUT_DIR":  output,
		"WEFT_BUILD_DIR":   directory,
		"WEFT_LOCK_FILE":   lock,
		"WEFT_ACTION_MAIN": main,
	}
	maps.Copy(variables, network.variables())
	child, err := start(startOptions{
		argv:    b.program,
		env:     environment(variables),
		dir:     source,
		grouped: true,
		sink:    sink,
	})
	if err != nil {
		return nil, 0, err
	}
	child.bury()
	return printed, exitCode(child.status), nil
}

// Most compilers and linters say file:line:column: text, or file:line: text.
var diagnosticForm = regexp.MustCompile(`^(?:vet: )?([^\s:][^:]*):(\d+):(?:(\d+):)? (.+)$`)

func diagnosticsIn(printed []byte, source string) (found []diagnostic) {
	for line := range strings.Lines(string(printed)) {
		parts := diagnosticForm.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if parts == nil || len(found) == diagnosticsMax {
			continue
		}
		number, err := strconv.Atoi(parts[2])
		if err != nil {
			continue
		}
		column, _ := strconv.Atoi(parts[3]) // none: 0
		file := strings.TrimPrefix(strings.TrimPrefix(parts[1], source+"/"), "./")
		text := parts[4][:min(len(parts[4]), diagnosticBytesMax)]
		found = append(found, diagnostic{file, number, column, string(validUTF8([]byte(text)))})
	}
	return found
}

func shortened(printed []byte) string {
	text := bytes.TrimSpace(printed)
	if len(text) <= buildMessageBytes {
		return string(validUTF8(text))
	}
	return string(bytes.ToValidUTF8(text[:buildMessageBytes-4], nil)) + "\n..."
}

// pack makes the same bytes of the same files: sorted, and without times.
func pack(directory string) ([]byte, error) {
	var packed bytes.Buffer
	archive := zip.NewWriter(&packed)
	files := 0
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == directory {
			return err
		}
		name, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: filepath.ToSlash(name), Method: zip.Deflate}
		switch {
		case entry.IsDir():
			header.Name += "/"
			header.SetMode(fs.ModeDir | 0o755)
			_, err = archive.CreateHeader(header)
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			header.SetMode(fs.ModeSymlink | 0o777)
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			to, err := archive.CreateHeader(header)
			if err == nil {
				_, err = to.Write([]byte(target))
			}
			return err
		case info.Mode().IsRegular():
			files++
			header.SetMode(0o644 | info.Mode().Perm()&0o111)
			to, err := archive.CreateHeader(header)
			if err != nil {
				return err
			}
			from, err := os.Open(path)
			if err != nil {
				return err
			}
			defer from.Close()
			if _, err = io.Copy(to, from); err == nil && packed.Len() > artifactBytesMax {
				err = errArtifactTooLarge
			}
			return err
		default:
			return fmt.Errorf("the build made %q, which is neither a file, a folder nor a symbolic link", name)
		}
	})
	if err == nil && files == 0 {
		err = errNothingMade
	}
	if err = errors.Join(err, archive.Close()); err != nil {
		return nil, err
	}
	if packed.Len() > artifactBytesMax {
		return nil, errArtifactTooLarge
	}
	return packed.Bytes(), nil
}

var errNothingMade = errors.New("the build made no files")

var errArtifactTooLarge = fmt.Errorf("what was built is larger than allowed: more than %d bytes packed", artifactBytesMax)

const largestNamed = 5

// A package, where the kinds look for them, or else what lies at the top.
var packageForm = regexp.MustCompile(
	`^(?:node_modules/(?:\.deno/)?(?:@[^/]+/)?[^/]+|vendor/bundle/ruby/[^/]+/gems/[^/]+|(?:packages|vendor/[^/]+)/[^/]+|[^/]+)`)

// largest names packages by their unpacked size, for who has to do without some.
func largest(directory string) string {
	sizes := map[string]int64{}
	_ = filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // what cannot be looked at is not among the largest
		}
		if info, err := entry.Info(); err == nil {
			name, _ := filepath.Rel(directory, path)
			sizes[packageForm.FindString(filepath.ToSlash(name))] += info.Size()
		}
		return nil
	})
	names := slices.SortedFunc(maps.Keys(sizes), func(a, b string) int {
		return cmp.Or(cmp.Compare(sizes[b], sizes[a]), strings.Compare(a, b))
	})
	var said []string
	for _, name := range names[:min(len(names), largestNamed)] {
		said = append(said, fmt.Sprintf("%s %.1f MiB", name, float64(sizes[name])/(1024*1024)))
	}
	return strings.Join(said, ", ") + " (unpacked)"
}

func readAtMost(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("the list of what was resolved is larger than allowed: more than %d bytes", most)
	}
	return text, err
}
