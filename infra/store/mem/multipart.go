package mem

import (
	"context"
	"hash/crc32"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/infra/store"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type upload struct {
	store.Upload
	parts map[int][]byte
}

// BeginUpload implements store.Multipart.
func (s *Store) BeginUpload(ctx context.Context, name store.Name) (store.Upload, error) {
	if err := check(ctx, "mem.BeginUpload", name); err != nil {
		return store.Upload{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.nextLocked()
	u := store.Upload{Name: name, ID: id, Token: "token-" + id, Begun: time.Now()}
	s.mu.uploads[id] = upload{u, map[int][]byte{}}
	return u, nil
}

// UploadPart implements store.Multipart.
func (s *Store) UploadPart(ctx context.Context, u store.Upload, number int, data []byte) (store.Part, error) {
	const op = "mem.UploadPart"
	if err := check(ctx, op, u.Name); err != nil {
		return store.Part{}, err
	}
	if number < 1 || number > store.MaxParts {
		return store.Part{}, errs.Errorf(op, errs.Invalid, u.Name, "part %d", number)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	up, there := s.mu.uploads[u.ID]
	if !there {
		return store.Part{}, errs.Errorf(op, errs.NotFound, u.Name, "no upload %s", u.ID)
	}
	up.parts[number] = slices.Clone(data)
	sum := crc32.Checksum(data, castagnoli)
	return store.Part{Number: number, Size: int64(len(data)), CRC32C: sum}, nil
}

// CompleteUpload implements store.Multipart.
func (s *Store) CompleteUpload(
	ctx context.Context, u store.Upload, parts []store.Part, opts ...store.CreateOption,
) error {
	const op = "mem.CompleteUpload"
	if err := check(ctx, op, u.Name); err != nil {
		return err
	}
	size, err := store.CheckParts(u, parts)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, occupied := s.mu.objects[u.Name]
	up, there := s.mu.uploads[u.ID]
	switch {
	case !there && occupied && old.token == u.Token:
		return nil // completed before
	case !there:
		return errs.Errorf(op, errs.NotFound, u.Name, "no upload %s", u.ID)
	case occupied && store.Collect(opts).IfAbsent:
		return errs.E(op, errs.Exist, u.Name, nil)
	}
	data := make([]byte, 0, size)
	for _, p := range parts {
		stored, ok := up.parts[p.Number]
		if !ok || crc32.Checksum(stored, castagnoli) != p.CRC32C {
			return errs.Errorf(op, errs.Invalid, u.Name, "part %d is not what was uploaded", p.Number)
		}
		data = append(data, stored...)
	}
	s.putLocked(u.Name, data, u.Token)
	delete(s.mu.uploads, u.ID)
	return nil
}

// AbortUpload implements store.Multipart.
func (s *Store) AbortUpload(ctx context.Context, u store.Upload) error {
	if err := check(ctx, "mem.AbortUpload", u.Name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.uploads, u.ID)
	return nil
}

// Uploads implements store.Multipart.
func (s *Store) Uploads(ctx context.Context, prefix string) iter.Seq2[store.Upload, error] {
	return func(yield func(store.Upload, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(store.Upload{}, errs.E("mem.Uploads", errs.Canceled, prefix, err))
			return
		}
		for _, u := range s.unfinished(prefix) {
			if !yield(u, nil) {
				return
			}
		}
	}
}

func (s *Store) unfinished(prefix string) []store.Upload {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []store.Upload
	for _, u := range s.mu.uploads {
		if strings.HasPrefix(string(u.Name), prefix) {
			u.Token = ""
			all = append(all, u.Upload)
		}
	}
	return all
}
