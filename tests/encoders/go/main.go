// Sends one rich batch of spans, log records and metrics by every OTLP exporter that Go's SDK has.
//
// ENCODER_GRPC and ENCODER_HTTP are the addresses (host:port) that take it.
package main

import (
	"context"
	"errors"
	"log"
	"math"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const flowRunID = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"

// Every type that an attribute can have.
func attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("text", "grüße, 世界 🚀"),
		attribute.String("empty", ""),
		attribute.Bool("flag", true),
		attribute.Int64("largest", math.MaxInt64),
		attribute.Int64("smallest", math.MinInt64),
		attribute.Float64("ratio", 0.1),
		attribute.Float64("infinite", math.Inf(1)),
		attribute.StringSlice("texts", []string{"a", "", "c"}),
		attribute.BoolSlice("flags", []bool{true, false}),
		attribute.Int64Slice("numbers", []int64{-1, 0, 1}),
		attribute.Float64Slice("ratios", []float64{0.5, -0.25}),
		attribute.ByteSlice("bytes", []byte{0, 0xff, 0x0a, 0x12}),
		nested("nested"),
	}
}

func nested(key string) attribute.KeyValue {
	return attribute.Map(key,
		attribute.Map("inner", attribute.Int("depth", 2), attribute.ByteSlice("bytes", []byte{1, 2, 3})),
		attribute.Slice("mixed", attribute.StringValue("x"), attribute.IntValue(3), attribute.SliceValue(attribute.BoolValue(true))),
	)
}

func describe() *resource.Resource {
	return resource.NewWithAttributes("https://opentelemetry.io/schemas/1.37.0", append(attributes(),
		attribute.String("service.name", "encoder-go"),
		attribute.String("prefect.flow-run.id", flowRunID))...)
}

func spans(ctx context.Context, of *resource.Resource) (context.Context, []sdktrace.ReadOnlySpan) {
	kept := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept), sdktrace.WithResource(of))
	tracer := provider.Tracer("scope.one", trace.WithInstrumentationVersion("1.2.3"),
		trace.WithSchemaURL("https://opentelemetry.io/schemas/1.36.0"),
		trace.WithInstrumentationAttributes(attribute.String("scope.kind", "rich")))

	state, err := trace.ParseTraceState("vendor=value,other=2")
	exit(err)
	remote := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true})
	ctx, root := tracer.Start(trace.ContextWithSpanContext(ctx, remote), "root", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attributes()...),
		trace.WithLinks(trace.Link{SpanContext: remote, Attributes: attributes()}))
	root.SetAttributes(attribute.String("flow_run_id", flowRunID))
	root.AddEvent("event", trace.WithAttributes(attributes()...))
	root.RecordError(errors.New("out of paper"), trace.WithStackTrace(true))
	root.SetStatus(codes.Error, "failed")
	for range 40 {
		_, child := provider.Tracer("scope.two").Start(ctx, "child", trace.WithSpanKind(trace.SpanKindProducer))
		child.SetStatus(codes.Ok, "")
		child.End()
	}
	root.End()
	return ctx, kept.GetSpans().Snapshots()
}

// Keeps records instead of sending them.
type keptRecords struct{ records []sdklog.Record }

func (k *keptRecords) Export(_ context.Context, records []sdklog.Record) error {
	for _, record := range records {
		k.records = append(k.records, record.Clone())
	}
	return nil
}
func (k *keptRecords) Shutdown(context.Context) error   { return nil }
func (k *keptRecords) ForceFlush(context.Context) error { return nil }

func logRecords(ctx context.Context, of *resource.Resource) []sdklog.Record {
	kept := &keptRecords{}
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(of), sdklog.WithProcessor(sdklog.NewSimpleProcessor(kept)))
	for _, scope := range []string{"log.one", "log.two"} {
		logger := provider.Logger(scope, otellog.WithInstrumentationVersion("0.1"))
		var record otellog.Record
		record.SetTimestamp(time.Unix(1700000000, 123456789))
		record.SetSeverity(otellog.SeverityWarn)
		record.SetSeverityText("WARNING")
		record.SetEventName("load.finished")
		record.SetBody(nested("body").Value)
		record.AddAttributes(attributes()...)
		logger.Emit(ctx, record)
		record.SetBody(attribute.StringValue("plain"))
		logger.Emit(context.Background(), record)
	}
	return kept.records
}

func metrics(ctx context.Context, of *resource.Resource) *metricdata.ResourceMetrics {
	reader := sdkmetric.NewManualReader()
	exponential := sdkmetric.NewView(sdkmetric.Instrument{Name: "exponential"}, sdkmetric.Stream{
		Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 20, MaxScale: 20}})
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(of),
		sdkmetric.WithView(exponential), sdkmetric.WithExemplarFilter(exemplar.AlwaysOnFilter))
	with := metric.WithAttributes(attributes()...)
	for _, scope := range []string{"meter.one", "meter.two"} {
		meter := provider.Meter(scope)
		counter, err := meter.Int64Counter("counter", metric.WithUnit("{row}"), metric.WithDescription("rows"))
		exit(err)
		counter.Add(ctx, 3, with)
		upDown, err := meter.Float64UpDownCounter("up_down")
		exit(err)
		upDown.Add(ctx, -1.5, with)
		gauge, err := meter.Float64Gauge("gauge")
		exit(err)
		gauge.Record(ctx, 36.6, with)
		_, err = meter.Int64ObservableGauge("observed", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(-7, with)
			return nil
		}))
		exit(err)
		for _, name := range []string{"histogram", "exponential"} {
			histogram, err := meter.Float64Histogram(name, metric.WithUnit("s"))
			exit(err)
			for _, value := range []float64{0, 0.001, 1, 12.5, 1e6} {
				histogram.Record(ctx, value, with)
			}
		}
	}
	collected := &metricdata.ResourceMetrics{}
	exit(reader.Collect(ctx, collected))
	return collected
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	of := describe()
	inSpan, traced := spans(ctx, of)
	logged := logRecords(inSpan, of)
	measured := metrics(inSpan, of)
	grpc, http := os.Getenv("ENCODER_GRPC"), os.Getenv("ENCODER_HTTP")

	for _, client := range []otlptrace.Client{
		otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(grpc), otlptracegrpc.WithInsecure()),
		otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(grpc), otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip")),
		otlptracehttp.NewClient(otlptracehttp.WithEndpoint(http), otlptracehttp.WithInsecure()),
		otlptracehttp.NewClient(otlptracehttp.WithEndpoint(http), otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(otlptracehttp.GzipCompression)),
	} {
		exporter, err := otlptrace.New(ctx, client)
		exit(err)
		exit(exporter.ExportSpans(ctx, traced))
		exit(exporter.Shutdown(ctx))
	}

	logExporters := []sdklog.Exporter{
		must(otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(grpc), otlploggrpc.WithInsecure())),
		must(otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(grpc), otlploggrpc.WithInsecure(), otlploggrpc.WithCompressor("gzip"))),
		must(otlploghttp.New(ctx, otlploghttp.WithEndpoint(http), otlploghttp.WithInsecure())),
		must(otlploghttp.New(ctx, otlploghttp.WithEndpoint(http), otlploghttp.WithInsecure(), otlploghttp.WithCompression(otlploghttp.GzipCompression))),
	}
	for _, exporter := range logExporters {
		exit(exporter.Export(ctx, logged))
		exit(exporter.Shutdown(ctx))
	}

	metricExporters := []sdkmetric.Exporter{
		must(otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(grpc), otlpmetricgrpc.WithInsecure())),
		must(otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(grpc), otlpmetricgrpc.WithInsecure(), otlpmetricgrpc.WithCompressor("gzip"))),
		must(otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(http), otlpmetrichttp.WithInsecure())),
		must(otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(http), otlpmetrichttp.WithInsecure(), otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))),
	}
	for _, exporter := range metricExporters {
		exit(exporter.Export(ctx, measured))
		exit(exporter.Shutdown(ctx))
	}
}

func must[E any](exporter E, err error) E {
	exit(err)
	return exporter
}

func exit(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
