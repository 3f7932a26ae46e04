package ui

import (
	"io/fs"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// style is the style sheet of the page.
func style(t *testing.T) string {
	t.Helper()
	css, err := fs.ReadFile(assets, "assets/app.css")
	if err != nil {
		t.Fatal(err)
	}
	return string(css)
}

// heats returns how much colour is in the cells of workers, by heat.
func heats(t *testing.T) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	cells := regexp.MustCompile(`\.heat(\d) \{ background: color-mix\(in srgb, var\(--first\) (\d+)%, var\(--raised\)\)`)
	for _, c := range cells.FindAllStringSubmatch(style(t), -1) {
		percent, err := strconv.Atoi(c[2])
		if err != nil {
			t.Fatal(err)
		}
		all[c[1]] = float64(percent) / 100
	}
	if len(all) != 4 {
		t.Fatalf("the heats are %v", all)
	}
	return all
}

// themes returns the colours of the page by name: as it is in the light, and in the dark.
func themes(t *testing.T) [2]map[string][3]float64 {
	t.Helper()
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(style(t), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d themes", len(blocks))
	}
	var all [2]map[string][3]float64
	for i, block := range blocks {
		all[i] = map[string][3]float64{}
		for _, c := range regexp.MustCompile(`--(\w+): #(\w+);`).FindAllStringSubmatch(block[1], -1) {
			hex := c[2]
			if len(hex) == 3 {
				hex = strings.Repeat(hex[:1], 2) + strings.Repeat(hex[1:2], 2) + strings.Repeat(hex[2:], 2)
			}
			var rgb [3]float64
			for n := range rgb {
				v, err := strconv.ParseUint(hex[2*n:2*n+2], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				rgb[n] = float64(v) / 255
			}
			all[i][c[1]] = rgb
		}
	}
	return all
}

// luminance and contrast are those of WCAG 2.2.
func luminance(c [3]float64) float64 {
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v := c[i] / 12.92
		if c[i] > 0.04045 {
			v = math.Pow((c[i]+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

func contrast(a, b [3]float64) float64 {
	high, low := luminance(a), luminance(b)
	return (max(high, low) + 0.05) / (min(high, low) + 0.05)
}

// mix is part of a colour in another, as color-mix has it.
func mix(part float64, a, b [3]float64) (c [3]float64) {
	for i := range c {
		c[i] = part*a[i] + (1-part)*b[i]
	}
	return c
}

// TestContrast: words can be read by people who see little (4.5 to 1), and drawings be told from the ground (3 to 1).
func TestContrast(t *testing.T) {
	if got := contrast([3]float64{}, [3]float64{1, 1, 1}); got != 21 {
		t.Fatalf("black on white is %v", got)
	}
	for i, theme := range themes(t) {
		name := []string{"light", "dark"}[i]
		for _, ground := range []string{"ground", "raised"} {
			for _, words := range []string{"text", "quiet", "link", "bad"} {
				if got := contrast(theme[words], theme[ground]); got < 4.5 {
					t.Errorf("%s: %s on %s is %.2f", name, words, ground, got)
				}
			}
		}
		for _, drawn := range []string{"first", "second", "good", "bad", "odd", "off"} {
			if got := contrast(theme[drawn], theme["ground"]); got < 3 {
				t.Errorf("%s: %s is drawn with %.2f", name, drawn, got)
			}
		}
		for heat, part := range heats(t) {
			if got := contrast(theme["text"], mix(part, theme["first"], theme["raised"])); got < 4.5 {
				t.Errorf("%s: the number of a worker of heat %s is %.2f", name, heat, got)
			}
		}
	}
}
