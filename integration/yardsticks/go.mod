// Programs near the machine's limit that scripts/bench measures against: single-purpose, outside the product and its rules.
module github.com/seed3322913c/runner/integration/yardsticks

go 1.26.0
