package namespace

// Grant is what a delegation token stands for while it is good: its bearer is Owner. It is known here, so that it can
// be renewed and cancelled whoever leads; how a token looks is somebody else's business.
type Grant struct {
	Number  uint64 // 1 or more, never used twice
	Owner   string
	Renewer string // who may renew it; "" for nobody
	Real    string // who asked for it in the owner's name; "" for the owner
	Issued  int64  // ms
	Max     int64  // ms; how long it can be renewed
	Until   int64  // ms; good so long, if it is not renewed
}

func (g *Grant) code(c *coder) {
	c.uint64(&g.Number)
	for _, s := range []*string{&g.Owner, &g.Renewer, &g.Real} {
		c.string(s)
	}
	for _, n := range []*int64{&g.Issued, &g.Max, &g.Until} {
		num(c, n)
	}
}

// How long a delegation token is good, in ms, as at HDFS.
const (
	grantLife  = 24 * 3600 * 1000 // without being renewed
	grantLimit = 7 * grantLife
)

// maxGrants bounds the tokens that are good at once.
const maxGrants = 100_000

func (t *Tree) grant(r *Request) (Result, error) {
	for number, g := range t.grants {
		if g.Until < r.Time {
			delete(t.grants, number)
		}
	}
	if len(t.grants) >= maxGrants {
		return Result{}, Refuse(IOException, "There are %d delegation tokens, more are not allowed", len(t.grants))
	}
	t.granted++
	t.grants[t.granted] = Grant{Number: t.granted, Owner: r.Caller.User, Renewer: r.Owner, Real: r.Name, Issued: r.Time,
		Max: r.Time + grantLimit, Until: r.Time + grantLife}
	return Result{OK: true, FileID: t.granted}, nil
}

// goodGrant returns a grant that is good.
func (t *Tree) goodGrant(number uint64, now int64) (Grant, error) {
	g, ok := t.grants[number]
	switch {
	case !ok:
		return g, Refuse(InvalidToken, "token %d can't be found in cache", number)
	case g.Until < now:
		return g, Refuse(InvalidToken, "token %d is expired", number)
	}
	return g, nil
}

func (t *Tree) renewGrant(r *Request) (Result, error) {
	g, err := t.goodGrant(r.File, r.Time)
	if err != nil {
		return Result{}, err
	}
	if g.Renewer != r.Caller.User || g.Renewer == "" {
		return Result{}, Refuse(AccessControl, "%s tries to renew token %d with non-matching renewer %s", r.Caller.User,
			g.Number, g.Renewer)
	}
	g.Until = min(r.Time+grantLife, g.Max)
	t.grants[g.Number] = g
	return Result{OK: true, Length: g.Until}, nil
}

func (t *Tree) cancelGrant(r *Request) (Result, error) {
	g, err := t.goodGrant(r.File, r.Time)
	if err != nil {
		return Result{}, err
	}
	if who := r.Caller.User; who != g.Owner && who != g.Renewer {
		return Result{}, Refuse(AccessControl, "%s is not authorized to cancel token %d", who, g.Number)
	}
	delete(t.grants, g.Number)
	return Result{OK: true}, nil
}

// Grant returns the grant of a delegation token, or a refusal if it is not good at a time (ms).
func (t *Tree) Grant(number uint64, now int64) (Grant, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.goodGrant(number, now)
}
