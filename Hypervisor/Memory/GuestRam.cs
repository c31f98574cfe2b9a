using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Memory;

/// <summary>Guest memory: sealed, shared memfd memory, mapped here and handed to back-ends, with an allocator that only ever goes up.</summary>
/// <remarks>Session thread only. Areas live as long as the memory.</remarks>
public sealed unsafe class GuestRam : IDisposable
{
    /// <summary>First address that is given out: address 0 stays unused, so that a zeroed descriptor cannot look right by accident.</summary>
    private const ulong FirstOffset = 4096;

    /// <summary>Size unit of the memory, and of huge pages.</summary>
    private const ulong Granule = 2UL << 20;

    /// <summary>What the front-end calls «its» addresses are labels for the back-end; they differ from guest and host addresses on purpose.</summary>
    private const ulong UserBase = 0x7000_0000_0000;

    private readonly MemFd _file;
    private readonly byte* _host;
    private ulong _next = FirstOffset;

    private GuestRam(MemFd file, GuestRegion region)
    {
        _file = file;
        Table = GuestMemory.Of([region]);
        _ = Table.TryTranslate(region.Guest, 1, out GuestSlice first);
        _host = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(first.AsSpan()));
        Regions = [new GuestRamRegion(region.Guest, region.User, region.SizeBytes, FileOffset: 0, file)];
    }

    /// <summary>The table, for driver rings.</summary>
    public GuestMemory Table { get; }

    /// <summary>What a back-end must map.</summary>
    public IReadOnlyList<GuestRamRegion> Regions { get; }

    /// <summary>Makes at least <paramref name="sizeBytes"/> of zeroed memory with every page present.</summary>
    /// <param name="sizeBytes">Rounded up to whole units of 2 MiB.</param>
    /// <param name="hugePages">Back it with huge pages; there must be enough reserved.</param>
    /// <exception cref="IOException">Not enough memory or huge pages.</exception>
    /// <exception cref="GuestMemoryException">It cannot be mapped.</exception>
    public static GuestRam Create(ulong sizeBytes, bool hugePages = false)
    {
        ulong rounded = checked(sizeBytes + FirstOffset + Granule - 1) & ~(Granule - 1);
        MemFd file = MemFd.Create("paravane-guest", rounded, hugePages);
        try
        {
            return new GuestRam(file, GuestRegion.Map(new GuestAddress(0), new UserAddress(UserBase), rounded, file, fileOffset: 0, populate: true, reserve: hugePages));
        }
        catch (GuestMemoryException failure) when (hugePages && HugePageShortage.Is(failure))
        {
            file.Dispose();
            throw HugePageShortage.Of(rounded, failure);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Takes a zeroed piece that nobody has had.</summary>
    /// <param name="lengthBytes">Length in bytes, not 0.</param>
    /// <param name="alignment">A power of two.</param>
    /// <exception cref="InvalidOperationException">The memory is used up: its owner computed its size wrongly.</exception>
    public GuestArea Allocate(uint lengthBytes, uint alignment = 64)
    {
        ulong start = (_next + alignment - 1) & ~((ulong)alignment - 1);
        if (start > _file.LengthBytes || lengthBytes > _file.LengthBytes - start)
        {
            throw new InvalidOperationException($"guest memory of 0x{_file.LengthBytes:x} bytes is used up");
        }

        _next = start + lengthBytes;
        return new GuestArea(new GuestAddress(start), _host + start, lengthBytes);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Table.Release();
        _file.Dispose();
    }
}
