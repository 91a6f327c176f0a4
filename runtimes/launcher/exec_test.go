package main

import "testing"

func TestArgumentsAreOneLineWithEveryDigit(t *testing.T) {
	for given, want := range map[string]string{
		"{\"a\":1}\n": `{"a":1}`,
		"{\r\n  \"a\": [ 1e400,\n 12345678901234567890 ]\n}": `{"a":[1e400,12345678901234567890]}`,
		`{"a":"x \n\ud800 <ü>"}`:                             `{"a":"x \n\ud800 <ü>"}`,
		"not JSON\n":                                         "not JSON\n",
	} {
		if got := string(inOneLine([]byte(given))); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}
