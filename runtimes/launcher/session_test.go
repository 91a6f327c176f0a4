package main

import (
	"strings"
	"syscall"
	"testing"
)

func TestAnswersAreJudged(t *testing.T) {
	for answer, want := range map[string]struct {
		outcome int
		result  string
	}{
		`{"a":1}`:                      {success, `{"a":1}`},
		` [1] `:                        {success, ` [1] `},
		`{"error":"x","a":1}`:          {applicationError, `{"error":"x"}`},
		`{"error":null}`:               {applicationError, `{"error":null}`},
		`{"Error":"x"}`:                {success, `{"Error":"x"}`},
		`{"a":{"error":1}}`:            {success, `{"a":{"error":1}}`},
		`{"\u0065rror":[1]}`:           {applicationError, `{"error":[1]}`},
		`"text"`:                       {developerError, ""},
		`{"a":`:                        {developerError, ""},
		``:                             {developerError, ""},
		`{"n":12345678901234567890.1}`: {success, `{"n":12345678901234567890.1}`},
	} {
		if outcome, result := judge([]byte(answer)); outcome != want.outcome || string(result) != want.result {
			t.Errorf("%s: %d %s", answer, outcome, result)
		}
	}
}

func TestARequestIsOneLineWithTextsBesideTheValue(t *testing.T) {
	line := string(request(runMessage{
		params: []byte("{\n \"a\": \"\\n\"\r\n}"), namespace: `n"s`, activationID: "id", deadlineWallMs: 7, remainingMs: 5, traceparent: "tp",
	}))
	if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") || strings.Contains(line, "\r") {
		t.Errorf("%q", line)
	}
	for _, part := range []string{
		`{"value":{  "a": "\n"  },"namespace":"n\"s"`, `"deadline":"7"`, `"remaining_ms":5`, `"traceparent":"tp"`,
	} {
		if !strings.Contains(line, part) {
			t.Errorf("%s is not in %s", part, line)
		}
	}
	if strings.Contains(line, "api_key") {
		t.Error("a key that nobody gave")
	}
}

func TestTheLastLineIsTheResult(t *testing.T) {
	for name, c := range map[string]struct {
		writes  []string
		status  syscall.WaitStatus
		outcome int
		result  string
		logs    string
	}{
		"only line":             {[]string{`{"a":1}`}, 0, success, `{"a":1}`, ""},
		"after others":          {[]string{"one\n\ntwo\n{\"a\"", ":1}\n"}, 0, success, `{"a":1}`, "1 one|1 |1 two"},
		"before empty ones":     {[]string{"{}\n", "\n", "  \n"}, 0, success, `{}`, ""},
		"an error":              {[]string{`{"error":"no"}`}, 1 << 8, applicationError, `{"error":"no"}`, ""},
		"a result in spite":     {[]string{`{"a":1}`}, 1 << 8, success, `{"a":1}`, ""},
		"text":                  {[]string{"hello\n"}, 0, developerError, `no JSON object`, "1 hello"},
		"text of one that ends": {[]string{"hello\n"}, 3 << 8, developerError, `(exit code 3). Last output: hello`, "1 hello"},
		"nothing":               {nil, 0, developerError, `no JSON object`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			lines, _ := printed(t, 1<<20, func(o *output) {
				last := &lastLine{out: o}
				for _, text := range c.writes {
					last.write([]byte(text))
				}
				outcome, result := last.result(c.status)
				if outcome != c.outcome || !strings.Contains(string(result), c.result) {
					t.Errorf("%d %s", outcome, result)
				}
			})
			if got := strings.Join(lines, "|"); got != c.logs {
				t.Errorf("logs %q", got)
			}
		})
	}
}
