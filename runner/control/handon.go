package control

import (
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/say"
)

// handedOn marks a request that a control has handed on, so that two that take each other for the leader do not play
// ball.
const handedOn = "Runner-Handed-On"

// handOn asks the leader what this control was asked.
func (s *Server) handOn(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	known := s.mu.known.Address
	s.mu.Unlock()
	to, err := url.Parse(known)
	if known == "" || known == s.cfg.Address || err != nil || r.Header.Get(handedOn) != "" {
		noLeader(w)
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.SetXForwarded()
			p.Out.Header.Set(handedOn, s.cfg.Address)
		},
		Transport:     s.cfg.HandOn,
		FlushInterval: -1, // events are told at once
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			s.cfg.Options.Log.Debug("handing on", "leader", known, "error", err)
			noLeader(w)
		},
	}
	proxy.ServeHTTP(w, r)
}

func noLeader(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	api.WriteProblem(w, say.Errorf(errs.Unavailable, "no control leads at the moment. Try again"))
}
