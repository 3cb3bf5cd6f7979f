package fleet

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// LogHandler writes log lines for whoever reads them. Where w is the journal's
// stream, as JOURNAL_STREAM in getenv (os.Getenv) tells, the level becomes the
// prefix that the journal takes for its priority (sd-daemon(3)), and the time
// is left to it; elsewhere lines are those of slog.TextHandler.
func LogHandler(w io.Writer, level slog.Leveler, getenv func(string) string) slog.Handler {
	file, ok := w.(*os.File)
	if stream := getenv("JOURNAL_STREAM"); ok && stream != "" && stream == identity(file) {
		return journalHandler(w, level)
	}
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
}

// journal has a handler for each priority.
type journal [4]slog.Handler

func journalHandler(w io.Writer, level slog.Leveler) slog.Handler {
	var j journal
	for i, priority := range [...]int{7, 6, 4, 3} { // debug, info, warning, error
		j[i] = slog.NewTextHandler(prefixed{w, fmt.Sprintf("<%d>", priority)}, &slog.HandlerOptions{Level: level, ReplaceAttr: withoutHead})
	}
	return &j
}

// withoutHead leaves out what the journal knows.
func withoutHead(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}

// prefixed writes a prefix and a line at once.
type prefixed struct {
	w      io.Writer
	prefix string
}

func (p prefixed) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// of is the handler for a level.
func (j *journal) of(level slog.Level) slog.Handler {
	switch {
	case level < slog.LevelInfo:
		return j[0]
	case level < slog.LevelWarn:
		return j[1]
	case level < slog.LevelError:
		return j[2]
	}
	return j[3]
}

func (j *journal) Enabled(ctx context.Context, level slog.Level) bool {
	return j.of(level).Enabled(ctx, level)
}

func (j *journal) Handle(ctx context.Context, r slog.Record) error {
	return j.of(r.Level).Handle(ctx, r)
}

func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return j.each(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (j *journal) WithGroup(name string) slog.Handler {
	return j.each(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (j *journal) each(change func(slog.Handler) slog.Handler) slog.Handler {
	var changed journal
	for i, h := range j {
		changed[i] = change(h)
	}
	return &changed
}
