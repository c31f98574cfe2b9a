namespace Paravane.VirtioQueues.Tests;

/// <summary>Inputs that several tests share.</summary>
public static class Cases
{
    /// <summary>First bytes of ranges that are never inside the memory of a test of 1 MiB.</summary>
    public static TheoryData<ulong> UnmappedAddresses { get; } =
        [0, TestMemory.Base - 1, TestMemory.Base + (1 << 20), ulong.MaxValue, ulong.MaxValue - 62, ulong.MaxValue - 63, 1UL << 63];

    /// <summary>Size, event index, indirect tables, in order, first position.</summary>
    public static TheoryData<int, bool, bool, bool, int> RingShapes()
    {
        TheoryData<int, bool, bool, bool, int> shapes = [];
        foreach (int size in (int[])[1, 2, 4, 16, 256])
        {
            shapes.Add(size, false, false, false, 0);
            shapes.Add(size, true, true, false, 0xfffd);
            shapes.Add(size, true, false, true, 1);
            shapes.Add(size, false, true, true, 0);
        }

        return shapes;
    }
    /// <summary>Ring size, descriptors of a chain (0: an indirect table), with a record.</summary>
    public static TheoryData<int, int, bool> UnpublishedShapes()
    {
        TheoryData<int, int, bool> shapes = [];
        foreach (bool recorded in (bool[])[false, true])
        {
            shapes.Add(1, 0, recorded);
            foreach (int size in (int[])[1, 2, 4, 64, 256])
            {
                shapes.Add(size, 1, recorded);
            }

            shapes.Add(8, 0, recorded);
            shapes.Add(8, 2, recorded);
            shapes.Add(8, 3, recorded);
        }

        return shapes;
    }
}
