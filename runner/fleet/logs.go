package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/scheduler"
)

// Logs are the logs of a job, on all machines that have some. They are for control; others ask it for Lines.
type Logs struct {
	fleet  *Fleet
	job    scheduler.JobID
	secret string
	client *http.Client
}

// Logs returns the logs of a job, also of one that is over. Names are MACHINE/FILE.
func (f *Fleet) Logs(ctx context.Context, id scheduler.JobID) (*Logs, error) {
	v, err := f.coord.Get(ctx, grantKey(id))
	if err != nil {
		return nil, err
	}
	g, err := parseGrant(v.Data)
	if err != nil {
		return nil, err
	}
	return &Logs{f, id, g.Secret, &http.Client{Timeout: time.Minute}}, nil
}

// list returns the logs of all machines, in the order of their names.
func (l *Logs) list(ctx context.Context) ([]machineLog, error) {
	nodes, err := l.fleet.nodes(ctx)
	if err != nil {
		return nil, err
	}
	var all []machineLog
	for _, n := range nodes {
		body, err := l.get(ctx, n.Address, "", nil)
		if errs.KindOf(err) == errs.Unavailable {
			continue
		}
		if err != nil {
			return nil, err
		}
		var files []logFile
		err = json.NewDecoder(io.LimitReader(body, 64<<20)).Decode(&files)
		body.Close() // only read
		if err != nil {
			return nil, errs.E("fleet.Logs", errs.Corrupt, n.Name, err)
		}
		for _, file := range files {
			all = append(all, machineLog{n.Address, file})
		}
	}
	slices.SortStableFunc(all, func(a, b machineLog) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// machineLog is a log and where it is.
type machineLog struct {
	machine string
	logFile
}

// Open reads a log, without its first bytes.
func (l *Logs) Open(ctx context.Context, name string, from int64) (io.ReadCloser, error) {
	machine, file, _ := strings.Cut(name, "/")
	return l.get(ctx, machine, file, url.Values{"from": {fmt.Sprint(from)}})
}

func (l *Logs) get(ctx context.Context, machine, file string, values url.Values) (io.ReadCloser, error) {
	const op = "fleet.Logs"
	u := url.URL{
		Scheme: "http", Host: net.JoinHostPort(machine, NodePort), Path: "/logs/" + string(l.job) + "/" + file,
		RawQuery: values.Encode(),
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errs.E(op, errs.Internal, machine, err)
	}
	req.Header.Set("Authorization", "Bearer "+l.secret)
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, errs.E(op, errs.Unavailable, machine, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()                                 // only read
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // as much as there is
	kind := errs.Unavailable
	switch resp.StatusCode {
	case http.StatusForbidden:
		kind = errs.Permission
	case http.StatusNotFound:
		kind = errs.NotFound
	}
	return nil, errs.Errorf(op, kind, machine, "%s", strings.TrimSpace(string(text)))
}
