"""A function for Runner. It needs nothing but Python: runner.py speaks to the host."""
import runner


def handle(event, invocation):
    """Answer one event. It is called again and again by the same process, one event at a time."""
    name = event.get("name", "world")
    print("greeting", name)  # goes to the invocation's log
    return {"greeting": f"Hello, {name}!"}


if __name__ == "__main__":
    runner.serve(handle)
