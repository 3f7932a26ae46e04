# Speaks to the host of functions: frames of a type, a length (4 bytes, little endian) and so many bytes.

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# frame_in FILE reads a frame's payload to a file.
frame_in() {
	set -- "$1" $(dd bs=1 count=5 2>/dev/null | od -An -tu1)
	[ $# -eq 6 ] || exit 0 # the host needs us no longer
	head -c $(($3 + $4 * 256 + $5 * 65536 + $6 * 16777216)) > "$1"
}

# frame_out TYPE FILE sends a file as a frame.
frame_out() {
	n=$(wc -c < "$2")
	printf "$1$(printf '\\%03o\\%03o\\%03o\\%03o' $((n % 256)) $((n / 256 % 256)) $((n / 65536 % 256)) $((n / 16777216)))"
	cat "$2"
}

frame_in "$work/hello"
printf 'RUNNER\001' > "$work/hello"
frame_out H "$work/hello"
while :; do
	frame_in "$work/call"
	frame_in "$work/event"
	RUNNER_CALL=$(cat "$work/call")
	export RUNNER_CALL
	status=0
	(handle) < "$work/event" > "$work/result" || status=$?
	if [ $status -eq 0 ]; then
		frame_out V "$work/result"
	else
		printf '{"message":"the handler exited with status %d"}' $status > "$work/failure"
		frame_out X "$work/failure"
	fi
done
