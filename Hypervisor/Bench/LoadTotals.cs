namespace Paravane.Hypervisor.Bench;

/// <summary>Totals of a load that does not count in <see cref="LoadCounters"/> itself; the meaning is that of the members there.</summary>
internal readonly record struct LoadTotals(long Done, long Bytes, long Sent, long Errors, long Verified);
