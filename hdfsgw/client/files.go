package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/seed3322913c/runner/hdfsgw/fsck"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/hdfsgw/webhdfs"
	"github.com/seed3322913c/runner/infra/errs"
)

// fileStatus is a FileStatus as WebHDFS writes it.
type fileStatus struct {
	AccessTime, BlockSize, ChildrenNum, Length, ModificationTime int64
	FileID                                                       uint64 `json:"fileId"`
	Group, Owner, PathSuffix, Permission, Type                   string
	Replication                                                  int16
	ACLBit, SnapshotEnabled                                      bool
}

func (f *fileStatus) status() (namespace.Status, error) {
	perm, err := strconv.ParseUint(f.Permission, 8, 16)
	if err != nil {
		return namespace.Status{}, errs.Errorf("client.decode", errs.Corrupt, nil, "permission %q", f.Permission)
	}
	return namespace.Status{ID: f.FileID, Name: f.PathSuffix, Dir: f.Type == "DIRECTORY", Length: f.Length,
		Children: f.ChildrenNum, Modified: f.ModificationTime, Accessed: f.AccessTime, BlockSize: f.BlockSize,
		Replication: f.Replication, Perm: uint16(perm), Owner: f.Owner, Group: f.Group, HasACL: f.ACLBit,
		Snapshots: f.SnapshotEnabled}, nil
}

// Status describes a file or directory, or fails with errs.NotFound.
func (c *Client) Status(ctx context.Context, path string) (namespace.Status, error) {
	var doc struct{ FileStatus fileStatus }
	r := request{method: http.MethodGet, op: "GETFILESTATUS", path: path}
	if err := c.do(ctx, r, &doc); err != nil {
		return namespace.Status{}, err
	}
	s, err := doc.FileStatus.status()
	return s, c.told(r, err)
}

// List yields the entries of a directory in byte order of their names, page by page; a file yields itself, without a
// name. It ends after the first error.
func (c *Client) List(ctx context.Context, path string) iter.Seq2[namespace.Status, error] {
	return func(yield func(namespace.Status, error) bool) {
		for after := ""; ; {
			page, more, err := c.page(ctx, path, after)
			if err != nil {
				yield(namespace.Status{}, err)
				return
			}
			for _, s := range page {
				if !yield(s, nil) {
					return
				}
				after = s.Name
			}
			if more == 0 || len(page) == 0 {
				return
			}
		}
	}
}

func (c *Client) page(ctx context.Context, path, after string) (page []namespace.Status, more int64, err error) {
	var doc struct {
		DirectoryListing struct {
			PartialListing struct {
				FileStatuses struct{ FileStatus []fileStatus }
			}
			RemainingEntries int64
		}
	}
	r := request{method: http.MethodGet, op: "LISTSTATUS_BATCH", path: path, query: query{"startAfter", after}}
	if err := c.do(ctx, r, &doc); err != nil {
		return nil, 0, err
	}
	for _, f := range doc.DirectoryListing.PartialListing.FileStatuses.FileStatus {
		s, err := f.status()
		if err != nil {
			return nil, 0, c.told(r, err)
		}
		page = append(page, s)
	}
	return page, doc.DirectoryListing.RemainingEntries, nil
}

// change executes an operation that answers nothing or a boolean; an answer of false comes as an error of that kind.
func (c *Client) change(ctx context.Context, method, op, path string, q query) (bool, error) {
	raw := rawAnswer{ok: true}
	if err := c.do(ctx, request{method: method, op: op, path: path, query: q, id: newID()}, &raw); err != nil {
		return false, err
	}
	return raw.ok, nil
}

// rawAnswer takes a boolean.
type rawAnswer struct{ ok bool }

// UnmarshalJSON implements json.Unmarshaler.
func (a *rawAnswer) UnmarshalJSON(data []byte) error {
	var doc struct{ Boolean *bool }
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	a.ok = doc.Boolean == nil || *doc.Boolean
	return nil
}

// Mkdirs makes a directory and those above it; one that is there is success. perm 0 means 0755.
func (c *Client) Mkdirs(ctx context.Context, path string, perm uint16) error {
	_, err := c.change(ctx, http.MethodPut, "MKDIRS", path, query{"permission", octal(perm)})
	return err
}

func octal(perm uint16) string {
	if perm == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(perm), 8)
}

// Rename gives a file or directory another path, at once whatever is below it. It fails with errs.NotFound or Exist;
// with overwrite a file, or an empty directory, that is there is replaced at the same moment.
func (c *Client) Rename(ctx context.Context, from, to string, overwrite bool) error {
	option := "NONE"
	if overwrite {
		option = "OVERWRITE"
	}
	_, err := c.change(ctx, http.MethodPut, "RENAME", from, query{"destination", to, "renameoptions", option})
	return err
}

// Move is Rename as the shell's mv means it: into a directory that is there.
func (c *Client) Move(ctx context.Context, from, to string) error {
	ok, err := c.change(ctx, http.MethodPut, "RENAME", from, query{"destination", to})
	if err == nil && !ok {
		err = errs.Errorf("hdfs.RENAME", errs.Invalid, nil, "%s cannot move to %s", from, to)
	}
	return err
}

// Delete removes a file, or a directory that is empty unless recursive is set. It reports whether there was one.
func (c *Client) Delete(ctx context.Context, path string, recursive bool) (bool, error) {
	return c.change(ctx, http.MethodDelete, "DELETE", path, query{"recursive", strconv.FormatBool(recursive)})
}

// SetPermission sets the permission bits.
func (c *Client) SetPermission(ctx context.Context, path string, perm uint16) error {
	_, err := c.change(ctx, http.MethodPut, "SETPERMISSION", path, query{"permission", fmt.Sprintf("%o", perm)})
	return err
}

// SetOwner sets the owner and the group; "" keeps.
func (c *Client) SetOwner(ctx context.Context, path, owner, group string) error {
	_, err := c.change(ctx, http.MethodPut, "SETOWNER", path, query{"owner", owner, "group", group})
	return err
}

// SetReplication sets the number that is kept as a file's replication; of a directory it answers false.
func (c *Client) SetReplication(ctx context.Context, path string, n int16) (bool, error) {
	return c.change(ctx, http.MethodPut, "SETREPLICATION", path, query{"replication", number(int(n))})
}

// SetTimes sets the times of modification and access, in ms; -1 keeps.
func (c *Client) SetTimes(ctx context.Context, path string, modified, accessed int64) error {
	_, err := c.change(ctx, http.MethodPut, "SETTIMES", path,
		query{"modificationtime", number(modified), "accesstime", number(accessed)})
	return err
}

// Truncate shortens a file. It reports whether the file is ready at once.
func (c *Client) Truncate(ctx context.Context, path string, length int64) (bool, error) {
	return c.change(ctx, http.MethodPost, "TRUNCATE", path, query{"newlength", number(length)})
}

// Concat moves the bytes of sources, which must be in the same directory, to the end of a file.
func (c *Client) Concat(ctx context.Context, path string, sources []string) error {
	for _, s := range sources {
		if strings.Contains(s, ",") {
			return errs.Errorf("hdfs.CONCAT", errs.Invalid, s, "a name with a comma cannot be a source")
		}
	}
	_, err := c.change(ctx, http.MethodPost, "CONCAT", path, query{"sources", strings.Join(sources, ",")})
	return err
}

// Summary counts what is at and below a path.
type Summary struct {
	DirectoryCount, FileCount, Length, SpaceConsumed int64
	Quota, SpaceQuota                                int64 // -1 for none
}

// Summary counts what is at and below a path; a directory counts itself.
func (c *Client) Summary(ctx context.Context, path string) (Summary, error) {
	var doc struct{ ContentSummary Summary }
	err := c.do(ctx, request{method: http.MethodGet, op: "GETCONTENTSUMMARY", path: path}, &doc)
	return doc.ContentSummary, err
}

// Space is how full a file system is, in bytes.
type Space struct{ Capacity, Used, Remaining int64 }

// Space tells how full the file system is.
func (c *Client) Space(ctx context.Context) (Space, error) {
	var doc struct{ FsStatus Space }
	err := c.do(ctx, request{method: http.MethodGet, op: "GETSTATUS", path: "/"}, &doc)
	return doc.FsStatus, err
}

// Home returns the user's home directory, which need not exist.
func (c *Client) Home(ctx context.Context) (string, error) {
	var doc struct{ Path string }
	err := c.do(ctx, request{method: http.MethodGet, op: "GETHOMEDIRECTORY", path: "/"}, &doc)
	return doc.Path, err
}

// HasTrash reports whether who removes files should move them to the user's trash.
func (c *Client) HasTrash(ctx context.Context) (bool, error) {
	var doc struct{ FsServerDefaults struct{ TrashInterval int64 } }
	err := c.do(ctx, request{method: http.MethodGet, op: "GETSERVERDEFAULTS", path: "/"}, &doc)
	return doc.FsServerDefaults.TrashInterval > 0, err
}

// JobCommit publishes the output of a job in the directory path, all of it in one step. It may be repeated.
func (c *Client) JobCommit(ctx context.Context, path string, j webhdfs.JobCommit) error {
	body, err := json.Marshal(j)
	if err != nil {
		return errs.E("hdfs.COMMITJOB", errs.Internal, path, err)
	}
	return c.do(ctx, request{method: http.MethodPost, op: "COMMITJOB", path: path, id: newID(), body: body}, nil)
}

// FsckOptions are those of Fsck.
type FsckOptions struct {
	Verify, Delete bool
	Rate           int64             // bytes a second at most, 0: as fast as it goes
	Progress       func(fsck.Report) // is told how far it is; nil: not
}

// Fsck has the gateway compare the files at and below a path with its store. It needs the superuser.
func (c *Client) Fsck(ctx context.Context, path string, o FsckOptions) (report fsck.Report, err error) {
	r := request{method: http.MethodGet, op: "FSCK", path: path, query: query{"verify", strconv.FormatBool(o.Verify),
		"delete", strconv.FormatBool(o.Delete), "rate", number(o.Rate)}}
	err = c.again(ctx, func(base *url.URL) error {
		resp, err := c.send(ctx, base, r.method, c.target(base, r), "", nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		for lines := json.NewDecoder(resp.Body); ; {
			var l webhdfs.FsckLine
			if err := lines.Decode(&l); err != nil {
				return passing(err)
			}
			switch {
			case l.Error != "":
				return errs.Errorf("client.Fsck", errs.Other, nil, "%s", l.Error)
			case l.Report != nil:
				report = *l.Report
				return nil
			case l.Progress != nil && o.Progress != nil:
				o.Progress(*l.Progress)
			}
		}
	})
	return report, c.told(r, err)
}

// classOf returns the class of a refusal.
func classOf(err error) (namespace.Class, bool) {
	if e, ok := errors.AsType[*namespace.Error](err); ok {
		return e.Class, true
	}
	return 0, false
}
