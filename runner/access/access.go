// Package access says who may do what: roles, and the tokens that stand for them.
//
// A token is shown once, when it is made: "rt_<id>_<secret>". The store keeps its SHA-256 alone. That is enough, since
// a token is 130 bits of chance: unlike a password it cannot be guessed, so slow hashes would cost time and protect
// nothing.
//
//	tokens/<id>.json    {"id": "k3x9…", "name": "ci", "role": "submit", "hash": "9f86d0…", "created": "…"}
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/runner/say"
)

// Role is what somebody may do. A higher one may do all that a lower one may.
type Role int

// The roles.
const (
	Nobody Role = iota // asks without a token
	Read               // looks at everything
	Submit             // submits, kills and resumes jobs
	Admin              // changes queues, looks into the server
)

var roleText = [...]string{Nobody: "nobody", Read: "read", Submit: "submit", Admin: "admin"}

func (r Role) String() string { return roleText[r] }

// ParseRole is the inverse of Role.String, for the roles that a token can have.
func ParseRole(text string) (Role, error) {
	if i := slices.Index(roleText[Read:], text); i >= 0 {
		return Read + Role(i), nil
	}
	return Nobody, say.Errorf(errs.Invalid, "there is no role %q; say read, submit or admin", text)
}

// MarshalText writes String.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRole.
func (r *Role) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRole(string(text))
	return err
}

// Token is what is known of a token.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"` // whose it is, or for what, as people see it
	Role    Role      `json:"role"`
	Hash    string    `json:"hash,omitempty"` // of all its text: SHA-256 in hexadecimal digits
	Created time.Time `json:"created"`
}

// Tokens keeps tokens in a store. Its methods may be called by many goroutines at once.
type Tokens struct {
	st   store.Store
	now  func() time.Time
	mu   sync.Mutex
	seen map[string]seen // by id
}

// seen is what was found when a token was last looked up.
type seen struct {
	token Token
	err   error // errs.NotFound: there is none
	until time.Time
}

// remember is how long what was found is believed, and so how long a token works after it was removed.
const remember = 10 * time.Second

// maxSeen bounds what is remembered, in tokens.
const maxSeen = 10_000

// NewTokens returns the tokens of a store.
func NewTokens(st store.Store, now func() time.Time) *Tokens {
	return &Tokens{st: st, now: now, seen: map[string]seen{}}
}

const (
	prefix  = "rt_"
	maxText = 200  // bytes of a token
	maxFile = 4096 // bytes of what is kept of it
)

var tokenID = regexp.MustCompile(`^[a-z2-7]{8}$`)

func fileName(id string) store.Name { return store.Name("tokens").Join(id + ".json") }

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Create makes a token and returns its text, which nobody can find out later.
func (t *Tokens) Create(ctx context.Context, name string, role Role) (string, Token, error) {
	if name = strings.TrimSpace(name); name == "" || len(name) > 100 {
		return "", Token{}, say.Errorf(errs.Invalid, "a token's name has 1 to 100 bytes")
	}
	made := Token{ID: strings.ToLower(rand.Text()[:8]), Name: name, Role: role, Created: t.now().UTC()}
	text := prefix + made.ID + "_" + rand.Text()
	made.Hash = hashOf(text)
	data, err := json.Marshal(made)
	if err != nil {
		return "", made, errs.E("access.Create", errs.Internal, made.ID, err)
	}
	return text, made, store.Put(ctx, t.st, fileName(made.ID), data, store.IfAbsent())
}

// List returns all tokens, in the order of their making.
func (t *Tokens) List(ctx context.Context) ([]Token, error) {
	all := []Token{}
	for info, err := range t.st.List(ctx, "tokens/") {
		if err != nil {
			return nil, errs.E("access.List", errs.Other, nil, err)
		}
		id := strings.TrimSuffix(strings.TrimPrefix(string(info.Name), "tokens/"), ".json")
		token, err := t.read(ctx, id)
		if errs.KindOf(err) == errs.NotFound {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, token)
	}
	slices.SortStableFunc(all, func(a, b Token) int { return a.Created.Compare(b.Created) })
	return all, nil
}

// Remove makes a token worthless, everywhere within seconds. It fails with errs.NotFound if there is none.
func (t *Tokens) Remove(ctx context.Context, id string) error {
	if _, err := t.read(ctx, id); err != nil {
		return err
	}
	err := t.st.Delete(ctx, fileName(id))
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.seen, id) // now, since who asks before that may be remembered
	return err
}

// Check returns the token whose text it is. It fails with errs.Permission if there is none, else as the store does.
func (t *Tokens) Check(ctx context.Context, text string) (Token, error) {
	unknown := say.Errorf(errs.Permission, "this token is not known; `runner token create` makes one")
	rest, ok := strings.CutPrefix(text, prefix)
	id, _, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || len(text) > maxText || !tokenID.MatchString(id) {
		return Token{}, unknown
	}
	token, err := t.look(ctx, id)
	if errs.KindOf(err) == errs.NotFound {
		return Token{}, unknown
	}
	if err != nil {
		return Token{}, err
	}
	if subtle.ConstantTimeCompare([]byte(hashOf(text)), []byte(token.Hash)) != 1 {
		return Token{}, unknown
	}
	return token, nil
}

// look is read with a memory, so that not every request asks the store.
func (t *Tokens) look(ctx context.Context, id string) (Token, error) {
	t.mu.Lock()
	known, ok := t.seen[id]
	t.mu.Unlock()
	if ok && t.now().Before(known.until) {
		return known.token, known.err
	}
	token, err := t.read(ctx, id)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return token, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.seen) >= maxSeen {
		clear(t.seen)
	}
	t.seen[id] = seen{token, err, t.now().Add(remember)}
	return token, err
}

func (t *Tokens) read(ctx context.Context, id string) (Token, error) {
	if !tokenID.MatchString(id) {
		return Token{}, say.Errorf(errs.NotFound, "there is no token %q; `runner token ls` lists them", id)
	}
	data, err := store.Get(ctx, t.st, fileName(id), maxFile)
	if errs.KindOf(err) == errs.NotFound {
		return Token{}, say.Errorf(errs.NotFound, "there is no token %q; `runner token ls` lists them", id)
	}
	if err != nil {
		return Token{}, errs.E("access.read", errs.Other, id, err)
	}
	var token Token
	if err := json.Unmarshal(data, &token); err != nil {
		return token, errs.E("access.read", errs.Corrupt, id, err)
	}
	return token, nil
}
