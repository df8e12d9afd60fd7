package gate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// lookEvery is how often the certificate's files are read anew.
const lookEvery = time.Minute

// certificates is the newest certificate that could be read.
type certificates struct {
	now atomic.Pointer[tls.Certificate]
}

func (c *certificates) load(read func() (tls.Certificate, error)) error {
	pair, err := read()
	if err != nil {
		return err
	}
	c.now.Store(&pair)
	return nil
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	pair := c.now.Load()
	if pair == nil {
		return nil, errors.New("gate: no certificate")
	}
	return pair, nil
}

// follow takes new certificates. What can't be read is told, and the old one stays.
func (c *certificates) follow(ctx context.Context, read func() (tls.Certificate, error), log *slog.Logger) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pair, err := read()
		switch {
		case err != nil:
			log.ErrorContext(ctx, "the server's certificate can't be read; the old one stays in use", "error", err)
		case len(pair.Certificate) > 0 && !bytes.Equal(pair.Certificate[0], c.now.Load().Certificate[0]):
			c.now.Store(&pair)
			log.InfoContext(ctx, "a new certificate of the server is in use")
		}
	}
}
