package access

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
	"github.com/seed3322913c/runner/infra/store/around"
	"github.com/seed3322913c/runner/infra/store/fault"
	"github.com/seed3322913c/runner/infra/store/mem"
)

// clock is moved by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestTokens(t *testing.T) {
	ctx, st := t.Context(), mem.New()
	c := &clock{time.Date(2026, 11, 21, 17, 0, 0, 0, time.UTC)}
	tokens := NewTokens(st, c.now)
	text, made, err := tokens.Create(ctx, "ci", Submit)
	if err != nil || made.Role != Submit || made.Name != "ci" {
		t.Fatalf("%+v, %v", made, err)
	}
	c.at = c.at.Add(time.Second)
	if _, _, err := tokens.Create(ctx, "ann", Admin); err != nil {
		t.Fatal(err)
	}
	if got, err := tokens.Check(ctx, text); err != nil || got.ID != made.ID || got.Role != Submit {
		t.Errorf("%+v, %v", got, err)
	}
	secret := text[strings.LastIndexByte(text, '_')+1:]
	for info, err := range st.List(ctx, "") {
		data, err2 := store.Get(ctx, st, info.Name, maxFile)
		if err != nil || err2 != nil || bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s has the secret, or %v, %v", info.Name, err, err2)
		}
	}
	for _, wrong := range []string{"", "rt_", text + "x", text[:len(text)-1], "rt_aaaaaaaa_" + secret, "rt_../../jobs_x",
		strings.Repeat("x", 1000)} {
		if _, err := tokens.Check(ctx, wrong); errs.KindOf(err) != errs.Permission {
			t.Errorf("%.40q: %v", wrong, err)
		}
	}
	all, err := tokens.List(ctx)
	if err != nil || len(all) != 2 || all[0].Name != "ci" || all[1].Name != "ann" {
		t.Errorf("%+v, %v", all, err)
	}
	elsewhere := NewTokens(st, c.now)
	if _, err := elsewhere.Check(ctx, text); err != nil {
		t.Error(err)
	}
	if err := tokens.Remove(ctx, made.ID); err != nil {
		t.Error(err)
	}
	c.at = c.at.Add(remember)
	for _, at := range []*Tokens{tokens, elsewhere} {
		if _, err := at.Check(ctx, text); errs.KindOf(err) != errs.Permission {
			t.Errorf("a token that was removed: %v", err)
		}
	}
	if err := tokens.Remove(ctx, made.ID); errs.KindOf(err) != errs.NotFound {
		t.Errorf("removed twice: %v", err)
	}
}

// TestTroubleIsNoRefusal: who cannot be looked up is not told to be unknown, nor is that remembered.
func TestTroubleIsNoRefusal(t *testing.T) {
	st := mem.New()
	now := func() time.Time { return time.Unix(0, 0) }
	text, _, err := NewTokens(st, now).Create(t.Context(), "ci", Read)
	if err != nil {
		t.Fatal(err)
	}
	away := fault.New(st, 1, fault.Rule{Op: around.Open, Nth: 1})
	tokens := NewTokens(away, now)
	if _, err := tokens.Check(t.Context(), text); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("while the store is away: %v", err)
	}
	if _, err := tokens.Check(t.Context(), text); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// TestRemovedWhileAsked: that somebody asks while a token is removed does not let it work for longer.
func TestRemovedWhileAsked(t *testing.T) {
	st := fault.New(mem.New(), 1)
	tokens := NewTokens(st, func() time.Time { return time.Unix(0, 0) })
	text, made, err := tokens.Create(t.Context(), "ci", Read)
	if err != nil {
		t.Fatal(err)
	}
	at := make(chan struct{})
	close(at)
	st.Add(fault.Rule{Op: around.Delete, Effect: fault.Hold, Until: at, Hit: func() {
		if _, err := tokens.Check(t.Context(), text); err != nil {
			t.Error(err)
		}
	}})
	if err := tokens.Remove(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Check(t.Context(), text); errs.KindOf(err) != errs.Permission {
		t.Errorf("a token that was removed: %v", err)
	}
}

func TestRoles(t *testing.T) {
	for r := Read; r <= Admin; r++ {
		if got, err := ParseRole(r.String()); err != nil || got != r {
			t.Errorf("%s is read as %s, %v", r, got, err)
		}
	}
	for _, text := range []string{"nobody", "root", ""} {
		if _, err := ParseRole(text); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}
