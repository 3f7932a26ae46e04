# A function for Runner. It needs nothing but a shell: runner.sh speaks to the host.

# handle answers the event on its standard input with what it prints. It has failed if its status is not 0.
# $RUNNER_CALL has the invocation as JSON; standard error is the log.
handle() {
	event=$(cat)
	echo "an event of ${#event} characters" >&2
	printf '{"event":%s}' "$event"
}

. ./runner.sh
