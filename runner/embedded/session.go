package embedded

import (
	"crypto/rand"
	"os"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/say"
)

// Session is what a supervisor tells the roles that it starts: everything that they can't find in the home folder.
type Session struct {
	Home     string // the folder
	Name     string // tells one run or resume of a job from the next
	Launcher string // host:port
	Node     string // host:port of the shuffle server
	Secret   string // authorises everything
}

// The environment variables that carry a Session.
const (
	sessionEnv  = "RUNNER_SESSION"
	launcherEnv = "RUNNER_LAUNCHER"
	nodeEnv     = "RUNNER_NODE"
	secretEnv   = "RUNNER_SECRET"
)

// newSession draws the name and the secret of a session.
func newSession(home string) Session {
	return Session{Home: home, Name: rand.Text(), Secret: rand.Text()}
}

// Env is the session but for its secret.
func (s Session) Env() map[string]string {
	return map[string]string{HomeEnv: s.Home, sessionEnv: s.Name, launcherEnv: s.Launcher, nodeEnv: s.Node}
}

// Secrets is the session's secret.
func (s Session) Secrets() map[string]string { return map[string]string{secretEnv: s.Secret} }

// SessionFromEnv is what a role finds in its environment. It takes the secret out of it, so that no child inherits it.
func SessionFromEnv() (Session, error) {
	s := Session{
		Home: os.Getenv(HomeEnv), Name: os.Getenv(sessionEnv), Launcher: os.Getenv(launcherEnv), Node: os.Getenv(nodeEnv),
		Secret: os.Getenv(secretEnv),
	}
	if s.Secret == "" || s.Name == "" {
		return s, say.Errorf(errs.Invalid, "this verb is started by the system, not by people; see `runner help run`")
	}
	if err := os.Unsetenv(secretEnv); err != nil {
		return s, errs.E("embedded.Session", errs.Internal, secretEnv, err)
	}
	return s, nil
}
