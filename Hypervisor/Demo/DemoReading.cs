namespace Paravane.Hypervisor.Demo;

/// <summary>One reading of a <see cref="DemoMeter"/>.</summary>
/// <param name="Rate">Requests or frames a second.</param>
/// <param name="GigabitsPerSecond">Their payload in 10⁹ bits a second.</param>
/// <param name="P50Microseconds">Median latency.</param>
/// <param name="P99Microseconds">99th percentile.</param>
/// <param name="CpuPercent">Processor time of the back-end's process, in per cent of one processor.</param>
internal readonly record struct DemoReading(double Rate, double GigabitsPerSecond, double P50Microseconds, double P99Microseconds, double CpuPercent);
