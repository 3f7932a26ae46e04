package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed3322913c/runner/infra/enginetest"
	"github.com/seed3322913c/runner/infra/store"
	storemem "github.com/seed3322913c/runner/infra/store/mem"
	"github.com/seed3322913c/runner/runner/api"
	"github.com/seed3322913c/runner/runner/client"
	"github.com/seed3322913c/runner/runner/shell"
	"github.com/seed3322913c/runner/runner/ui"
)

// lifetime is a fleet that costs money and has little time.
type lifetime struct {
	mu    sync.Mutex
	until time.Time
}

func (l *lifetime) Fleet(context.Context) (client.Fleet, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	return client.Fleet{
		Name: "night", Provider: "aws", Region: "eu-west-1", Phase: "deployed", Servers: 3, Workers: 2,
		Deployed: now.Add(-time.Hour), Expires: l.until, Idle: 1800, IdleSince: now.Add(-10 * time.Minute), USD: 1.234,
		Hourly: 0.92, PricesOf: now,
		Machines: []client.Machine{{ID: "i-1", Role: "server", State: "running", Type: "t4g.small", Address: "10.0.0.1"}},
	}, nil
}

func (l *lifetime) Extend(_ context.Context, ttl time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Now().Add(ttl)
	return nil
}

// TestUIOfFilesAndTime looks through a bucket in which somebody has put names and texts that would do harm, and gives a
// fleet more time.
func TestUIOfFilesAndTime(t *testing.T) {
	chromium := enginetest.Binary(t, "chromium")
	const hostile = `<img src=x onerror="document.title='taken'">`
	st := storemem.New()
	put := func(name, text string) {
		if err := store.Put(t.Context(), st, store.Name(name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	put("in/"+hostile+"/"+hostile+".html", "<script>document.title='taken'</script>\n"+hostile)
	put("in/binary", "a\x00b")
	for i := range 600 {
		put(fmt.Sprintf("many/part-%05d", i), "x")
	}
	fleet := &lifetime{until: time.Now().Add(90 * time.Minute)}
	v1, err := api.New(api.Options{}, api.FleetPart(fleet), api.FilesPart(api.Files{
		Roots: []string{"s3://demo/"},
		Open:  func(context.Context, string) (shell.System, error) { return shell.Objects(st, "s3://demo"), nil },
	}))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ui.New(v1, ui.Options{Fleet: true}))
	t.Cleanup(server.Close)

	b := openBrowser(t, chromium, server.URL+"/files")
	b.do("where files are", chromedp.WaitVisible("table.folder a"))
	b.do("a bucket", chromedp.Click("table.folder a"), chromedp.WaitVisible("table.folder tr:nth-child(2) a"))
	b.do("a folder with a hostile name", chromedp.Click("table.folder tr:first-child a"),
		chromedp.WaitVisible("table.folder tr:nth-child(2) a"), chromedp.Click("table.folder tr:first-child a"),
		chromedp.WaitVisible(".crumbs a:nth-of-type(4)"))
	if shown := get(b, chromedp.Text("main")); !strings.Contains(shown, hostile+".html") {
		t.Errorf("the folder shows\n%s", shown)
	}
	b.do("a hostile file", chromedp.Click("table.folder a"), chromedp.WaitVisible("pre:not(:empty)"))
	text, title := get(b, chromedp.Text("pre")), get(b, chromedp.Title())
	if !strings.Contains(text, hostile) || title == "taken" {
		t.Errorf("the file is shown as %q under the title %q", text, title)
	}
	b.do("what is no text", chromedp.Navigate(server.URL+"/files?file=s3://demo/in/binary"),
		chromedp.WaitVisible("[role=status]:not(:empty)"))
	b.do("a long folder", chromedp.Navigate(server.URL+"/files?path=s3://demo/many/"),
		chromedp.WaitVisible("table.folder tr:nth-child(500)"), chromedp.Click("main > button"),
		chromedp.WaitVisible("table.folder tbody tr:nth-child(600)"))
	b.do("files on a phone in the dark", chromedp.EmulateViewport(390, 800), chromedp.Func(dark),
		chromedp.Navigate(server.URL+"/files?path=s3://demo/in/"), chromedp.WaitVisible("table.folder a"))
	b.fits()

	b.do("a fleet on a phone", chromedp.Navigate(server.URL+"/fleet"), chromedp.WaitVisible("table.machines"))
	b.fits()
	for _, want := range []string{
		"Fleet night", "1h", "$1.23 at $0.92 an hour", "if no job comes", "3 servers and 2 workers", "t4g.small",
	} {
		if shown := get(b, chromedp.Text("main")); !strings.Contains(shown, want) {
			t.Errorf("the fleet shows no %q:\n%s", want, shown)
		}
	}
	b.do("a fleet with more time", chromedp.EmulateViewport(1200, 900),
		chromedp.Evaluate[chromedp.Void]("document.getElementById('hours').value = 12"),
		chromedp.Click("form.extend button"), chromedp.WaitVisible("form.extend [role=status]:not(:empty)"))
	shown := get(b, chromedp.Text(".countdown"))
	if !strings.HasPrefix(shown, "12h00m") && !strings.HasPrefix(shown, "11h59m") {
		t.Errorf("it has %q after it was given 12 hours", shown)
	}
	b.complained()

	// Another site's page cannot give it more time in the name of who looks at this one.
	body := strings.NewReader(`{"seconds": 60}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/fleet/extend", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://elsewhere.example")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("another site's page is answered %s", resp.Status)
	}
}
