package main

// The network of a build: none, but for a socket behind which the invoker lets package registries be reached. Tools know
// proxies of HTTP, and no sockets, so that one is offered to them on the loopback interface.

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
)

const (
	registriesSocket      = "s"
	registriesAuthorities = "ca.pem"
)

// registries is the proxy of one build.
type registries struct {
	listener net.Listener
	folder   string
}

// openRegistries listens on a port of its own. Without a folder there is no network.
func openRegistries(folder string) (*registries, error) {
	if folder == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &registries{listener, folder}
	go r.serve()
	return r, nil
}

func (r *registries) serve() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		go r.join(client)
	}
}

// join copies both ways until either side is done; the invoker bounds how many there are and how long they take.
func (r *registries) join(client net.Conn) {
	defer client.Close()
	invoker, err := net.Dial("unix", filepath.Join(r.folder, registriesSocket))
	if err != nil {
		return
	}
	defer invoker.Close()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{client, invoker}, {invoker, client}} {
		go func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			done <- struct{}{}
		}(pair[0], pair[1])
	}
	<-done
	<-done
}

// variables tell every tool in its own words where the proxy is, and whom to trust.
func (r *registries) variables() map[string]string {
	if r == nil {
		return nil
	}
	proxy := "http://" + r.listener.Addr().String()
	all := map[string]string{"NO_PROXY": "", "no_proxy": ""}
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		all[name] = proxy
	}
	authorities := filepath.Join(r.folder, registriesAuthorities)
	if _, err := os.Stat(authorities); errors.Is(err, os.ErrNotExist) {
		return all
	}
	for _, name := range []string{
		"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
		"DENO_CERT",
	} {
		all[name] = authorities
	}
	return all
}

func (r *registries) close() {
	if r != nil {
		_ = r.listener.Close()
	}
}
