namespace Paravane.Benchmarks;

/// <summary>Rows that share a unit and a chart.</summary>
/// <param name="Id">Name of the chart's file.</param>
/// <param name="Title">Heading.</param>
/// <param name="Unit">Unit of all figures.</param>
/// <param name="MoreIsBetter">Which end of the scale is the good one.</param>
/// <param name="Method">How it is measured: one paragraph.</param>
internal sealed record Table(string Id, string Title, string Unit, bool MoreIsBetter, string Method);

/// <summary>A table and how to fill it.</summary>
/// <param name="Table">What it is.</param>
/// <param name="Rows">Its lines.</param>
/// <param name="Missing">What this machine lacks to measure it; null: nothing.</param>
internal sealed record TablePlan(Table Table, IReadOnlyList<Row> Rows, string? Missing = null);

/// <summary>A table that is filled, or the reason why it is empty.</summary>
internal sealed record MeasuredTable(Table Table, IReadOnlyList<MeasuredRow> Rows, string? Missing = null);
