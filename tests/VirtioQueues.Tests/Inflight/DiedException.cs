namespace Paravane.VirtioQueues.Tests.Inflight;

/// <summary>The device's process dies here.</summary>
internal sealed class DiedException : Exception;
