namespace Paravane.Benchmarks;

/// <summary>One measurement and the two commands that it was made with.</summary>
internal sealed record Sample(double Value, string Backend, string Frontend = "");
