package wire

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
)

// Before the first frame, both sides prove that they know the job's secret, without saying it:
//
//	worker ── "GUAGUA1\n", 32 random bytes a ──────────▶ master
//	worker ◀── 32 random bytes b, HMAC("master", a, b) ── master
//	worker ── HMAC("worker", a, b) ────────────────────▶ master
//
// The key is made of the secret, the job's id and the master's epoch, so a worker of another job, or one that looks for
// another master, is turned away here.

const (
	greeting  = "GUAGUA1\n"
	nonceLen  = 32
	helloTime = 10 * time.Second
)

// Secret is what a worker and its master must have in common.
type Secret struct {
	Secret string
	Job    string
	Epoch  uint64
}

func (s Secret) proof(role string, a, b []byte) []byte { return s.Sign([]byte(role), a, b) }

// SignLen is the length of what Sign returns.
const SignLen = sha256.Size

// Sign returns what only those who know the secret can make of parts.
func (s Secret) Sign(parts ...[]byte) []byte {
	key := sha256.Sum256(binaryKey(s))
	mac := hmac.New(sha256.New, key[:])
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

func binaryKey(s Secret) []byte {
	b := append([]byte(s.Secret), 0)
	b = append(append(b, s.Job...), 0)
	for shift := 0; shift < 64; shift += 8 {
		b = append(b, byte(s.Epoch>>shift))
	}
	return b
}

// Dial connects to a master. A master that cannot prove itself, or that turns this worker away, is errs.Permission.
func Dial(ctx context.Context, address string, s Secret) (*Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, errs.E("guagua.Dial", errs.Unavailable, address, err)
	}
	return Greet(ctx, raw, s)
}

// Greet is the worker's part of the greeting on a new connection. It closes raw if it fails, or when ctx ends first.
func Greet(ctx context.Context, raw net.Conn, s Secret) (*Conn, error) {
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if err := greet(raw, s); err != nil {
		raw.Close()
		return nil, errs.E("guagua.Greet", errs.Other, raw.RemoteAddr(), err)
	}
	return newConn(raw), nil
}

func greet(raw net.Conn, s Secret) error {
	if err := raw.SetDeadline(time.Now().Add(helloTime)); err != nil {
		return broken(err)
	}
	a := make([]byte, nonceLen)
	rand.Read(a) //nolint:errcheck // never fails
	if _, err := raw.Write(append([]byte(greeting), a...)); err != nil {
		return broken(err)
	}
	answer := make([]byte, nonceLen+SignLen)
	if _, err := io.ReadFull(raw, answer); err != nil {
		return broken(err)
	}
	b, proof := answer[:nonceLen], answer[nonceLen:]
	if !hmac.Equal(proof, s.proof("master", a, b)) {
		return errs.Errorf(op, errs.Permission, nil, "the other end does not know the secret of this job and epoch")
	}
	if _, err := raw.Write(s.proof("worker", a, b)); err != nil {
		return broken(err)
	}
	return broken(raw.SetDeadline(time.Time{}))
}

// Accept greets a worker that has connected. It closes raw if it fails.
func Accept(raw net.Conn, s Secret) (*Conn, error) {
	if err := welcome(raw, s); err != nil {
		raw.Close()
		return nil, errs.E("guagua.Accept", errs.Other, raw.RemoteAddr(), err)
	}
	return newConn(raw), nil
}

func welcome(raw net.Conn, s Secret) error {
	if err := raw.SetDeadline(time.Now().Add(helloTime)); err != nil {
		return broken(err)
	}
	hello := make([]byte, len(greeting)+nonceLen)
	if _, err := io.ReadFull(raw, hello); err != nil {
		return broken(err)
	}
	if string(hello[:len(greeting)]) != greeting {
		return errs.Errorf(op, errs.Corrupt, nil, "this is not a worker: it said %q", hello[:len(greeting)])
	}
	a, b := hello[len(greeting):], make([]byte, nonceLen)
	rand.Read(b) //nolint:errcheck // never fails
	if _, err := raw.Write(append(b, s.proof("master", a, b)...)); err != nil {
		return broken(err)
	}
	proof := make([]byte, SignLen)
	if _, err := io.ReadFull(raw, proof); err != nil {
		return broken(err)
	}
	if !hmac.Equal(proof, s.proof("worker", a, b)) {
		return errs.Errorf(op, errs.Permission, nil, "the worker does not know the secret of this job and epoch")
	}
	return broken(raw.SetDeadline(time.Time{}))
}
