// Package webhdfs serves a namespace over HTTP as Hadoop's NameNode and DataNode do (not as HttpFS does), so that
// unmodified clients of webhdfs:// work.
//
//	PUT /webhdfs/v1/a/b?op=CREATE            307, Location: the same with namenoderpcaddress=... in it
//	PUT that Location, with the bytes        201
//
// The second request is the data node's part. It is answered by the same server; the parameter tells the two apart, as
// it does in Hadoop's own URLs. Everything a client sees is held by testdata/webhdfs.jsonl, the replies of a real one.
package webhdfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seed3322913c/runner/hdfsgw/block"
	"github.com/seed3322913c/runner/hdfsgw/namespace"
	"github.com/seed3322913c/runner/infra/store"
)

// Names is what the server needs of a namespace's changes; namespace.Service is one.
type Names interface {
	Do(ctx context.Context, r namespace.Request) (namespace.Result, error)
	block.IDs
	Now() int64 // ms since 1970
	Epoch() uint64
}

// Prover finds out who has proven who he is.
type Prover interface {
	// User returns who has sent a request, by what has gone before it or by its parameter delegation; "" for nobody.
	User(r *http.Request, delegation string) string
	// Pass returns what the parameter delegation proves the same user with, for a while: redirects carry it.
	Pass(user string) string
}

// Options of a Server. The zero Options are for a trusted caller on loopback.
type Options struct {
	Superuser string // may do everything, and act for others with doas; "" means "root"
	// Tokens maps bearer tokens to users. With any, every request must carry one, as "Authorization: Bearer TOKEN" or as
	// the parameter delegation; without, a request is believed what user it says it comes from.
	Tokens map[string]string
	// Prover finds out who asks where no token does; nil means that callers are believed, or need a token if there are
	// any.
	Prover Prover
	// Proxies may act for others with doas, as namespace.Realm has it.
	Proxies map[string][]string
	// Groups tells the groups of a user; nil means that there are none.
	Groups func(user string) []string
	// External is the URL under which clients reach this server, "http://gw.example:9870"; "" means what the request's
	// Host says.
	External string

	BlockSize   int64 // of new files, in bytes; 0 means 128 MiB
	Replication int16 // of new files, a number only; 0 means 1
	ListLimit   int   // entries of one page of LISTSTATUS_BATCH; 0 means 1000

	// Trash is how long what clients remove stays in their users' trash, in whole minutes; 0: there is no trash. Clients
	// are told, and move it there.
	Trash time.Duration

	Transfers int           // data parts of operations served at once, the others wait; 0 means 1024
	Idle      time.Duration // how long a client may send or take nothing of a body; 0 means 1 min

	// Blocks is a cache of the store, for the bytes that clients read; nil means that there is none.
	Blocks store.Store

	StoreURI string // under which clients may reach the store themselves; "" means that they can't
	Cluster  string // what tells this store from others
	Secret   string // of this store; "" means that clients write no blocks
}

// Believes reports whether a request shows a token or another proof that is asked for, if any is: what all must show
// that are about no file. A delegation token is not enough.
func (o Options) Believes(r *http.Request) bool {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	_, known := o.Tokens[token]
	return known || o.Prover != nil && o.Prover.User(r, "") != "" || !o.secure()
}

// secure reports whether callers must prove who they are.
func (o Options) secure() bool { return len(o.Tokens) > 0 || o.Prover != nil }

// Server is an http.Handler. Any number of requests may be served at once.
type Server struct {
	tree  *namespace.Tree
	names Names
	store store.Store
	o     Options // Blocks is not nil
	ops   map[string]operation
	small *block.Packer
	busy  chan struct{} // a token for each data part under way
}

// operation answers one op. What it returns as an error is told as Java's exception.
type operation func(*call) error

// New returns a server of a tree, whose changes go through names and whose blocks are in st.
func New(tree *namespace.Tree, names Names, st store.Store, o Options) *Server {
	if o.Superuser == "" {
		o.Superuser = "root"
	}
	if o.BlockSize == 0 {
		o.BlockSize = 128 << 20
	}
	if o.Replication == 0 {
		o.Replication = 1
	}
	if o.ListLimit == 0 {
		o.ListLimit = 1000
	}
	if o.Transfers == 0 {
		o.Transfers = 1024
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	if o.Blocks == nil {
		o.Blocks = st
	}
	return &Server{tree: tree, names: names, store: st, o: o, ops: operations(), small: block.NewPacker(st, names),
		busy: make(chan struct{}, o.Transfers)}
}

// prefix of all paths.
const prefix = "/webhdfs/v1"

// dataPart is the parameter that a redirect to the data node's part has.
const dataPart = "namenoderpcaddress"

// call is one request on its way.
type call struct {
	*Server
	w    http.ResponseWriter
	r    *http.Request
	p    params
	op   string
	path string
	who  namespace.Caller
	real string // who has proven himself, and may act for who; "" where that is not asked for
	data bool   // the data node's part

	delegated bool // who asks has shown a delegation token
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ours := strings.CutPrefix(r.URL.Path, prefix)
	switch {
	case strings.ContainsRune(r.URL.Path, 0):
		w.Header().Set("Content-Type", "text/html;charset=iso-8859-1")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, "<h1>Bad Message 400</h1><pre>reason: Bad Request</pre>")
		return
	case !ours || path != "" && path[0] != '/' || escapes(path):
		http.NotFound(w, r)
		return
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", "OPTIONS,HEAD,DELETE,POST,GET,PUT")
		return
	}
	c := &call{Server: s, w: w, r: r, path: clean(path)}
	if err := c.run(); err != nil {
		c.refuse(err)
	}
}

// escapes reports whether a path leaves what is above it.
func escapes(path string) bool {
	depth := 0
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

func (c *call) run() (err error) {
	if c.p, err = parseParams(c.r.URL.RawQuery); err != nil {
		return err
	}
	c.data = c.p.has(dataPart)
	if !c.data {
		c.w.Header().Set("Cache-Control", "no-cache")
	}
	if err := c.authenticate(); err != nil {
		return err
	}
	method := c.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if c.op = strings.ToUpper(c.p.get("op")); c.op == "" {
		return namespace.Refuse(namespace.UnsupportedOperation, "op=NULL is not supported")
	}
	do, ok := c.ops[method+" "+c.op]
	if !ok {
		return invalid("op", "%s is not a valid %s operation.", c.p.get("op"), method)
	}
	if err := c.checkPath(); err != nil {
		return err
	}
	if !c.data {
		return do(c)
	}
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-c.r.Context().Done():
		return c.r.Context().Err()
	}
	c.w, c.r.Body = c.patient()
	return do(c)
}

// checkPath words a bad path as the operations of a NameNode do.
func (c *call) checkPath() error {
	err := namespace.CheckPath(c.path)
	var refusal *namespace.Error
	if errors.As(err, &refusal) && refusal.Class == namespace.InvalidPath && c.op == "MKDIRS" {
		return namespace.Refuse(namespace.InvalidPath, "Invalid path name Invalid file name: %s", c.path)
	}
	return err
}

// anonymous is who does not say who he is.
const anonymous = "dr.who"

// authenticate finds out who asks.
func (c *call) authenticate() error {
	user, err := c.p.user("user.name")
	if err != nil {
		return err
	}
	if c.o.secure() {
		if user, err = c.proven(); err != nil {
			return err
		}
		c.real = user
	}
	if user == "" {
		user = anonymous
	}
	other, err := c.p.user("doas")
	if err != nil {
		return err
	}
	realm := namespace.Realm{Superuser: c.o.Superuser, Groups: c.o.Groups, Proxies: c.o.Proxies}
	c.who, err = realm.Caller(user, other)
	return err
}

// proven returns who has proven who he is.
func (c *call) proven() (string, error) {
	shown := c.p.get("delegation")
	token, bearer := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		token = shown
	}
	if user, ok := c.o.Tokens[token]; ok {
		return user, nil
	}
	if user, err := c.byDelegation(shown); user != "" || err != nil {
		c.delegated = true
		return user, err
	}
	if c.o.Prover != nil {
		if user := c.o.Prover.User(c.r, shown); user != "" {
			return user, nil
		}
	}
	return "", errUnauthenticated
}

var errUnauthenticated = errors.New("authentication required")

// jsonType is the Content-Type of documents: a data node says more than a name node.
func (c *call) jsonType() string {
	if c.data {
		return "application/json; charset=utf-8"
	}
	return "application/json"
}

// refuse tells an error as Java's exception.
func (c *call) refuse(err error) {
	writeError(c.w, c.jsonType(), err)
}

// Refuse answers a request with Java's exception for an error.
func Refuse(w http.ResponseWriter, err error) { writeError(w, "application/json", err) }

func writeError(w http.ResponseWriter, kind string, err error) {
	e := namespace.AsError(err)
	class, status := e.Class, e.Class.HTTPStatus()
	if errors.Is(err, errUnauthenticated) {
		class, status = namespace.AccessControl, http.StatusUnauthorized
	}
	java := class.JavaName()
	writeJSON(w, kind, status, object{"RemoteException": object{
		"exception": java[strings.LastIndexAny(java, ".$")+1:], "javaClassName": java, "message": e.Message,
	}})
}

// object is a JSON object.
type object map[string]any

func writeJSON(w http.ResponseWriter, kind string, status int, v any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client has gone, or gets a broken document: there is nobody to tell
}

// truth is Hadoop's boolean.
type truth struct {
	Boolean bool `json:"boolean"`
}

// ok answers with a document and 200.
func (c *call) ok(v any) error {
	writeJSON(c.w, c.jsonType(), http.StatusOK, v)
	return nil
}

// empty answers 200 without a body, with the type that Hadoop has for it.
func (c *call) empty() error {
	kind := "application/octet-stream"
	if c.r.Method == http.MethodPost || c.r.Method == http.MethodGet {
		kind += "; charset=utf-8"
	}
	c.w.Header().Set("Content-Type", kind)
	c.w.Header().Set("Content-Length", "0")
	return nil
}

// base is the URL under which the client reaches us.
func (c *call) base() string {
	if c.o.External != "" {
		return strings.TrimSuffix(c.o.External, "/")
	}
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + c.r.Host
}

// hostPort is the address in base.
func (c *call) hostPort() (host, port string) {
	_, address, _ := strings.Cut(c.base(), "://")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, "80"
	}
	return host, port
}

// redirect sends the client to the data node's part, with the parameters named; with noredirect it only says where.
func (c *call) redirect(extra ...string) error {
	host, port := c.hostPort()
	query := "op=" + c.op
	for _, name := range []string{"delegation", "user.name", "doas"} {
		if c.p.has(name) {
			query += "&" + name + "=" + url.QueryEscape(c.p.get(name))
		}
	}
	if c.o.Prover != nil && !c.p.has("delegation") {
		query += "&delegation=" + url.QueryEscape(c.o.Prover.Pass(c.real))
	}
	query += "&" + dataPart + "=" + net.JoinHostPort(host, port)
	for i := 0; i < len(extra); i += 2 {
		query += "&" + extra[i] + "=" + url.QueryEscape(extra[i+1])
	}
	location := c.base() + escape(prefix+c.path) + "?" + query
	if stay, err := c.p.flag("noredirect", false); err != nil {
		return err
	} else if stay {
		return c.ok(object{"Location": location})
	}
	c.w.Header().Set("Location", location)
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusTemporaryRedirect)
	return nil
}

// escape writes a path for a URL as Java does, which leaves more as it is than Go.
func escape(path string) string {
	u := url.URL{Path: path}
	return strings.NewReplacer("%3B", ";", "%27", "'", "%2C", ",").Replace(u.EscapedPath())
}

// given returns a parameter with its value for a redirect, nothing if it was not given.
func (c *call) given(name string) []string {
	if c.p.has(name) {
		return []string{name, c.p.get(name)}
	}
	return nil
}

// change executes an operation that changes the namespace.
func (c *call) change(r namespace.Request) (namespace.Result, error) {
	r.Caller = c.who
	if r.Path == "" {
		r.Path = c.path
	}
	if r.ID == "" {
		r.ID = c.operationID()
	}
	r.Client, _, _ = net.SplitHostPort(c.r.RemoteAddr)
	return c.names.Do(c.r.Context(), r)
}

// changed executes an operation whose answer is Hadoop's boolean.
func (c *call) changed(r namespace.Request) error {
	result, err := c.change(r)
	if err != nil {
		return err
	}
	return c.ok(truth{result.OK})
}

// done executes an operation that answers nothing.
func (c *call) done(r namespace.Request) error {
	if _, err := c.change(r); err != nil {
		return err
	}
	return c.empty()
}
