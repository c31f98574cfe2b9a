namespace Paravane.VirtioQueues.Tests;

/// <summary>Inputs that several tests share.</summary>
public static class Cases
{
    /// <summary>First bytes of ranges that are never inside the memory of a test of 1 MiB.</summary>
    public static TheoryData<ulong> UnmappedAddresses { get; } =
        [0, TestMemory.Base - 1, TestMemory.Base + (1 << 20), ulong.MaxValue, ulong.MaxValue - 62, ulong.MaxValue - 63, 1UL << 63];
}
