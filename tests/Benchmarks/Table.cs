namespace Paravane.Benchmarks;

/// <summary>Rows that share a unit and a chart.</summary>
/// <param name="Id">Name of the chart's file.</param>
/// <param name="Title">Heading.</param>
/// <param name="Unit">Unit of all figures.</param>
/// <param name="MoreIsBetter">Which end of the scale is the good one.</param>
/// <param name="Method">How it is measured: one paragraph.</param>
internal sealed record Table(string Id, string Title, string Unit, bool MoreIsBetter, string Method);

/// <summary>A table and how to fill it.</summary>
internal sealed record TablePlan(Table Table, IReadOnlyList<Row> Rows);

/// <summary>A table that is filled.</summary>
internal sealed record MeasuredTable(Table Table, IReadOnlyList<MeasuredRow> Rows);
