package telemetry

import "context"

type everyLine struct{}

// EveryLine is for log lines that must not be counted instead of written, however much they are
// like others.
func EveryLine(ctx context.Context) context.Context { return context.WithValue(ctx, everyLine{}, true) }

// IsEveryLine reports a context of EveryLine.
func IsEveryLine(ctx context.Context) bool { return ctx.Value(everyLine{}) != nil }
