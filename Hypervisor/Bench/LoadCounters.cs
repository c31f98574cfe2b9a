using System.Runtime.InteropServices;

namespace Paravane.Hypervisor.Bench;

/// <summary>Counters of one load. Written by its thread, read by others; a cache line pair of its own.</summary>
internal sealed class LoadCounters
{
    private Block _block;

    /// <summary>The histogram of latencies.</summary>
    public LatencyHistogram Latency { get; } = new();

    /// <summary>Requests completed, or frames received (sent, where nothing comes back).</summary>
    public ref long Done => ref _block.Done;

    /// <summary>Payload bytes of <see cref="Done"/>.</summary>
    public ref long Bytes => ref _block.Bytes;

    /// <summary>Requests or frames sent.</summary>
    public ref long Sent => ref _block.Sent;

    /// <summary>Requests or frames that never came back.</summary>
    public ref long Lost => ref _block.Lost;

    /// <summary>Failed requests, wrong contents, duplicates, frames out of order.</summary>
    public ref long Errors => ref _block.Errors;

    /// <summary>Blocks or frames whose content was checked and right.</summary>
    public ref long Verified => ref _block.Verified;

    /// <summary>The first error in words, or null.</summary>
    public string? FirstError { get; private set; }

    /// <summary>Counts an error and keeps the words of the first.</summary>
    /// <remarks>Allocates: an error ends the measurement's worth anyway.</remarks>
    public void AddError(string text)
    {
        Errors++;
        FirstError ??= text;
    }

    /// <summary>Takes over what somebody else counted.</summary>
    public void Set(in LoadTotals totals, ReadOnlySpan<long> latency, string? firstError)
    {
        Volatile.Write(ref Done, totals.Done);
        Volatile.Write(ref Bytes, totals.Bytes);
        Volatile.Write(ref Sent, totals.Sent);
        Volatile.Write(ref Errors, totals.Errors);
        Volatile.Write(ref Verified, totals.Verified);
        Latency.Set(latency);
        FirstError = firstError;
    }

    /// <summary>Fields start at 128, so that no neighbour shares their line or its prefetched twin.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 384)]
    private struct Block
    {
        [FieldOffset(128)]
        public long Done;

        [FieldOffset(136)]
        public long Bytes;

        [FieldOffset(144)]
        public long Sent;

        [FieldOffset(152)]
        public long Lost;

        [FieldOffset(160)]
        public long Errors;

        [FieldOffset(168)]
        public long Verified;
    }
}
