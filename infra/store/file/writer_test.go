package file

import "testing"

// TestWhatIsTakenAtOnceIsCommitted deletes an object as soon as it can be seen, when its writer has not yet made that
// durable, and the directories go with it: who wrote it is told that it was there, as it was.
func TestWhatIsTakenAtOnceIsCommitted(t *testing.T) {
	ctx := t.Context()
	st, err := New(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	created, err := st.Create(ctx, "a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	w := created.(*writer)
	if err := w.publish("test"); err != nil {
		t.Fatal(err)
	}
	w.stage = published
	if err := st.Delete(ctx, "a/b/c"); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(ctx); err != nil {
		t.Error(err)
	}
}
