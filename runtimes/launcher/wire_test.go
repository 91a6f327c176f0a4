package main

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"testing"
)

// frames of the generated codec: frames.test.ts holds the file to it.
func frames(t *testing.T) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/frames.json")
	if err != nil {
		t.Fatal(err)
	}
	var inHex map[string]string
	if err := json.Unmarshal(text, &inHex); err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for name, digits := range inHex {
		if all[name], err = hex.DecodeString(digits); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestWhatWeSayIsWhatGeneratedCodeWouldSay(t *testing.T) {
	want := frames(t)
	yes := true
	for name, got := range map[string][]byte{
		"hello":       encodeHello("native:1", "1", false, nil),
		"helloAgain":  encodeHello("native:1", "1", true, &yes),
		"initOk":      encodeInitResult(true, nil),
		"initFailed":  encodeInitResult(false, []byte(`{"error":"ü"}`)),
		"result":      encodeRunResult(4_000_000_000, applicationError, []byte(`{"error":"🌍"}`), true, 1<<40),
		"emptyResult": encodeRunResult(0, success, []byte("[]"), false, 0),
		"logs": encodeLogs(7, []logLine{
			{stream: stdout, nanos: 1, text: []byte("one")}, {stream: stderr, nanos: 1 << 52},
		}),
		"built": encodeBuildResult(buildResult{
			outcome: built, artifact: []byte{1, 0, 255}, lock: []byte("ü v1.0.0"),
		}),
		"notBuilt": encodeBuildResult(buildResult{
			outcome: buildFailed, message: "two mistakes", diagnostics: []diagnostic{
				{file: "main.go", line: 4, column: 9, text: "undefined: q"}, {file: "ü.go", line: 70_000},
			},
		}),
	} {
		if hex.EncodeToString(got) != hex.EncodeToString(want[name]) {
			t.Errorf("%s: %x, want %x", name, got, want[name])
		}
	}
}

func TestWhatIsSaidToUsIsHeard(t *testing.T) {
	given := frames(t)
	for name, want := range map[string]any{
		"init": initMessage{
			actionName: "hello", main: "niam", code: []byte{0, 1, 255}, binary: true,
			env: map[string]string{"A": "1", "Ä": ""}, concurrency: 5, logLimitBytes: 10 * 1024 * 1024,
		},
		"run": runMessage{
			call: 4_000_000_000, params: []byte(`{"a":"ü"}`), activationID: "00000000000000000000000000000000",
			namespace: "gäst", actionName: "/gäst/hello", actionVersion: "0.0.1", transactionID: "tid", remainingMs: 60_000,
			deadlineWallMs: 1_700_000_000_000, apiKey: "u:k", traceparent: "00-1-2-01",
		},
		"build":  buildMessage{actionName: "hello", main: "niam", source: []byte{0, 1, 255}, binary: true, step: 2},
		"cancel": cancelMessage{call: 1, reason: "too late"},
	} {
		got, err := decodeToSandbox(given[name])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestUnknownFieldsAreSkippedAndUnknownMessagesTold(t *testing.T) {
	unknown, _ := hex.DecodeString("f8060181060000000000000000820601618506000000" + "00")
	got, err := decodeToSandbox(append(frames(t)["cancel"], unknown...))
	if err != nil || got != (cancelMessage{call: 1, reason: "too late"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := decodeToSandbox(unknown); got != nil || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatEndsTooEarlyIsRefused(t *testing.T) {
	for name, whole := range frames(t) {
		for cut := 1; cut < len(whole); cut++ {
			if _, err := decodeToSandbox(whole[:cut]); err == nil {
				t.Errorf("%s cut at %d is taken", name, cut)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{10, 0})
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = decodeToSandbox(data)
	})
}
