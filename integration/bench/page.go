package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/chromedp/chromedp"
)

// shownJobs is how many jobs the page lists.
const shownJobs = 50

// page measures what people and programs wait for at `runner ui`: answers of the API, and the first sight of the page.
func page(ctx context.Context, s settings, title string) error {
	chromium, err := exec.CommandContext(ctx, "scripts/engines", "chromium").Output()
	if err != nil {
		return fmt.Errorf("scripts/engines chromium: %w", err)
	}
	url, end, err := serveJobs(ctx, s)
	if err != nil {
		return err
	}
	defer end()
	fmt.Printf("\n%s\n", title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	var one struct {
		Jobs []struct{ Job string } `json:"jobs"`
	}
	if err := getJSON(ctx, url+"v1/jobs?limit=1", &one); err != nil || len(one.Jobs) == 0 {
		return fmt.Errorf("no jobs are listed: %w", err)
	}
	for _, path := range []string{"v1/jobs?limit=50", "v1/jobs/ID"} {
		n, err := requests(ctx, url+strings.Replace(path, "ID", one.Jobs[0].Job, 1))
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "GET /%s, 16 clients\t%.0f a second\t\n", path, n)
	}
	files, weight, err := weigh(ctx, url)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "weight of the page\t%.1f KB in %d files\t\n", float64(weight)/1000, files)
	first, listed, err := sight(ctx, strings.TrimSpace(string(chromium)), url, s.rounds)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "something is seen after\t%.0f ms\t\n", first)
	fmt.Fprintf(w, "the list is there after\t%.0f ms\t\n", listed)
	return w.Flush()
}

// serveJobs runs jobs and serves a page that lists them, until end is called.
func serveJobs(ctx context.Context, s settings) (url string, end func(), err error) {
	in := filepath.Join(s.work, "page.txt")
	if err := os.WriteFile(in, []byte("to be or not to be\n"), 0o600); err != nil {
		return "", nil, err
	}
	home := "RUNNER_HOME=" + filepath.Join(s.work, "page-home")
	for i := range shownJobs {
		cmd := exec.CommandContext(ctx, s.runner, "run", "wordcount", "--quiet", "--input", in, "--output",
			filepath.Join(s.work, "page-out", fmt.Sprint(i)))
		cmd.Env = append(os.Environ(), home)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", nil, fmt.Errorf("%w: %s", err, out)
		}
	}
	cmd := exec.CommandContext(ctx, s.runner, "ui", "--http", "127.0.0.1:0", "--json")
	cmd.Env = append(os.Environ(), home)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	end = func() {
		_ = cmd.Process.Signal(os.Interrupt) // fails if it has ended
		_ = cmd.Wait()                       // interrupted, as it was meant
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var told struct{ URL string }
	if err == nil {
		err = json.Unmarshal([]byte(line), &told)
	}
	if err != nil {
		end()
		return "", nil, fmt.Errorf("runner ui says %q: %w", line, err)
	}
	return told.URL, end, nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return body, err
}

func getJSON(ctx context.Context, url string, into any) error {
	body, err := get(ctx, url)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// requests returns how many requests a second sixteen clients get answered.
func requests(ctx context.Context, url string) (float64, error) {
	const clients, long = 16, 3 * time.Second
	var asked atomic.Int64
	failed := make(chan error, clients)
	began := time.Now()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			client := http.Client{Transport: &http.Transport{}} // a connection of its own, kept
			defer client.CloseIdleConnections()
			for time.Since(began) < long {
				resp, err := client.Get(url)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close() // it was read to its end
				}
				if err != nil {
					failed <- err
					return
				}
				asked.Add(1)
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return float64(asked.Load()) / time.Since(began).Seconds(), ctx.Err()
	}
}

// part finds the files that a page's markup, styles and scripts name.
var part = regexp.MustCompile(`"(?:\./|/assets/)([a-z]+\.(?:css|js|svg))"`)

// weigh adds up what a browser fetches for the page, without what the API tells.
func weigh(ctx context.Context, url string) (files int, bytes int64, err error) {
	seen := map[string]bool{"": true}
	for todo := []string{""}; len(todo) > 0; todo = todo[1:] {
		body, err := get(ctx, url+todo[0])
		if err != nil {
			return 0, 0, err
		}
		files, bytes = files+1, bytes+int64(len(body))
		for _, found := range part.FindAllSubmatch(body, -1) {
			if name := "assets/" + string(found[1]); !seen[name] {
				seen[name] = true
				todo = append(todo, name)
			}
		}
	}
	return files, bytes, nil
}

// sight returns after how many milliseconds a browser shows something, and the list: the median of some visits, each
// with a browser of its own.
func sight(ctx context.Context, program, url string, rounds int) (first, listed float64, err error) {
	var firsts, lists []float64
	for range rounds {
		one, all, err := visit(ctx, program, url)
		if err != nil {
			return 0, 0, err
		}
		firsts, lists = append(firsts, one), append(lists, all)
	}
	return middle(slices.Sorted(slices.Values(firsts))), middle(slices.Sorted(slices.Values(lists))), nil
}

func visit(ctx context.Context, program, url string) (first, listed float64, err error) {
	profile, err := os.MkdirTemp("", "runner-page-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(profile)
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.UserDataDir(profile), chromedp.Env("TMPDIR="+profile), chromedp.Flag("disable-quic", true))
	ctx, cancel := chromedp.NewExecAllocator(ctx, flags...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // the browser has started
		return 0, 0, err
	}
	began := time.Now()
	if err := chromedp.Do(ctx, chromedp.Navigate(url), chromedp.WaitVisible("tbody tr")); err != nil {
		return 0, 0, err
	}
	listed = float64(time.Since(began)) / float64(time.Millisecond)
	first, err = chromedp.Run(ctx, chromedp.Evaluate[float64](
		"performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"))
	return first, listed, err
}
