using Paravane.Hypervisor.Memory;

namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>What lies where in the memory of the guest with the driver, and in its report, which the host reads while it runs.</summary>
internal static class DriverLayout
{
    /// <summary>RAM in bytes.</summary>
    public const ulong RamBytes = 4UL << 20;

    /// <summary>The code, up to <see cref="Report"/>.</summary>
    public const ulong Code = AddressMap.HighMemory;

    /// <summary>State, counters and histograms; below, offsets from here.</summary>
    public const ulong Report = 0x12_0000;

    /// <summary>64 bits: <see cref="DriverState"/>.</summary>
    public const int State = 0;

    /// <summary>64 bits: <see cref="DriverFault"/> of a start that failed.</summary>
    public const int Fault = 8;

    /// <summary>64 bits: the device of <see cref="Fault"/>.</summary>
    public const int FaultDevice = 16;

    /// <summary>64 bits, written by the host: not 0 when nothing more shall be sent.</summary>
    public const int Stop = 64;

    /// <summary>Counters of a device, 64 bits each, from <see cref="CountersOf"/> on; the last four describe the first error.</summary>
    public const int Sent = 0, Done = 8, Bytes = 16, Verified = 24, Errors = 32, Kicks = 40, FirstKind = 48, FirstPlace = 56, FirstFound = 64, FirstWanted = 72;

    /// <summary>The driver's own variables.</summary>
    public const int Private = 0x400;

    /// <summary>Histogram buckets of a device.</summary>
    public const int HistogramBytes = 0x3000;

    /// <summary>Bytes of the report with everything in it.</summary>
    public const int ReportBytes = 0x1000 + (2 * HistogramBytes);

    /// <summary>Rings: descriptors, driver's and device's area of each queue in pages of their own.</summary>
    public const ulong Rings = 0x14_0000;

    /// <summary>Distance of two queues' rings, and of the areas of one.</summary>
    public const ulong RingStride = 0x4000, AreaStride = 0x1000;

    /// <summary>Headers of disk requests, 64 bytes each: header, status at 32, time of sending at 40.</summary>
    public const ulong DiskHeaders = 0x15_0000;

    /// <summary>How often each block was written: 32 bits each.</summary>
    public const ulong Generations = 0x16_0000;

    /// <summary>Blocks that <see cref="Generations"/> has room for.</summary>
    public const int MaxBlocks = 0x1_0000;

    /// <summary>Times of sending of frames.</summary>
    public const ulong NetStamps = 0x1A_0000;

    /// <summary>A stack of free transmit buffers.</summary>
    public const ulong NetFree = 0x1A_1000;

    /// <summary>Data of disk requests, one block each.</summary>
    public const ulong DiskData = 0x20_0000;

    /// <summary>Transmit buffers, 2 KiB each.</summary>
    public const ulong Transmit = 0x24_0000;

    /// <summary>Receive buffers.</summary>
    public const ulong Receive = 0x2C_0000;

    /// <summary>Distance of two frame buffers as a power of two.</summary>
    public const int FrameShift = 11;

    /// <summary>Where the driver puts the BAR of the first device; the next one's is <see cref="BarStride"/> further.</summary>
    public const ulong FirstBar = AddressMap.Pci32;

    /// <summary>Distance of two BARs.</summary>
    public const ulong BarStride = 0x10_0000;

    /// <summary>Port that ends the run.</summary>
    public const byte ExitPort = 0xF4;

    /// <summary>Offset of a device's counters.</summary>
    public static int CountersOf(DriverDevice device) => 0x100 + ((int)device * 0x100);

    /// <summary>Offset of a device's histogram.</summary>
    public static int HistogramOf(DriverDevice device) => 0x1000 + ((int)device * HistogramBytes);
}
