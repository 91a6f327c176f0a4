package main

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

func TestABuildReachesWhatItsInvokerServesAndNothingWithoutIt(t *testing.T) {
	folder := t.TempDir()
	invoker, err := net.Listen("unix", filepath.Join(folder, registriesSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer invoker.Close()
	go http.Serve(invoker, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.URL.String()+" "+string(body))
	}))
	r, err := openRegistries(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	said := r.variables()
	if said["PIP_CERT"] != "" || said["HTTP_PROXY"] != said["https_proxy"] {
		t.Errorf("%v", said)
	}
	proxy, err := url.Parse(said["HTTP_PROXY"])
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
	answer, err := client.Get("http://registry.test/x")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, _ := io.ReadAll(answer.Body); string(body) != "http://registry.test/x " {
		t.Errorf("%q", body)
	}
	authorities := filepath.Join(folder, registriesAuthorities)
	if err := os.WriteFile(authorities, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if found := r.variables()["SSL_CERT_FILE"]; found != authorities {
		t.Errorf("%q", found)
	}
	none, err := openRegistries("")
	if none != nil || err != nil || len(none.variables()) != 0 {
		t.Errorf("%v %v", none, err)
	}
	none.close()
}
