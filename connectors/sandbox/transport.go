package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

// Transport gives a RoundTripper that calls the sandbox's products in the same process, without a socket. It ends with the request's
// context; a planted reset gives an error like a closed connection. It doesn't reach /_control or the pages.
func (s *Sandbox) Transport() http.RoundTripper { return transport{s} }

type transport struct{ s *Sandbox }

// RoundTrip answers one request. Like a real server, the sandbox goes on with the work when the caller gives up.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, _, ok := t.s.apiOf(req); !ok {
		closeBody(req)
		return nil, fmt.Errorf("sandbox: in process only the products' own paths answer, not %s", req.URL.Path)
	}
	if err := req.Context().Err(); err != nil {
		closeBody(req)
		return nil, err
	}
	ctx, cancel := context.WithCancel(req.Context())
	in := req.Clone(ctx)
	in.RequestURI, in.RemoteAddr = req.URL.RequestURI(), "in-process"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := newRecorder()
	done := make(chan error, 1)
	go func() {
		defer cancel()
		defer closeBody(req)
		done <- serveRecorded(t.s, rec, in)
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
		return rec.response(req), nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// serveRecorded calls the handler and turns its abort into the error that a client of a socket sees.
func serveRecorded(h http.Handler, rec *recorder, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
			if r.Context().Err() != nil {
				err = errors.Join(r.Context().Err(), err)
			}
		default:
			panic(p)
		}
	}()
	h.ServeHTTP(rec, r)
	return nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// recorder keeps an answer in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: http.Header{}} }

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

func (r *recorder) response(req *http.Request) *http.Response {
	r.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)), StatusCode: r.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header.Clone(), Body: io.NopCloser(bytes.NewReader(r.body.Bytes())), ContentLength: int64(r.body.Len()), Request: req,
	}
}
