using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Tests;

/// <summary>Guest memory of one region, or of two that are neighbours in the guest only, and a cursor that hands it out.</summary>
internal sealed class GuestRam : IDisposable
{
    public const ulong Base = 0x10_0000;

    private readonly ImageFile _file;
    private ulong _next = Base;

    public GuestRam(ulong sizeBytes = 32 << 20)
    {
        SizeBytes = sizeBytes;
        using MemFd file = MemFd.Create("blk-test", sizeBytes);
        _file = ImageFile.Open($"/proc/self/fd/{file.Number}", writable: true, direct: false);
        ulong half = sizeBytes / 2;
        Table = GuestMemory.Of(
        [
            GuestRegion.Map(new GuestAddress(Base), new UserAddress(0x7000_0000), half, file, 0),
            GuestRegion.Map(new GuestAddress(Base + half), new UserAddress(0x9000_0000), half, file, half),
        ]);
    }

    public GuestMemory Table { get; }

    public ulong SizeBytes { get; }

    /// <summary>The first byte of the second region.</summary>
    public GuestAddress Seam => new(Base + (SizeBytes / 2));

    public GuestAddress Allocate(ulong bytes, ulong alignment = 16)
    {
        ulong at = (_next + alignment - 1) & ~(alignment - 1);
        _next = at + bytes;
        Assert.True(_next <= Seam.Value, "test memory is too small");
        return new GuestAddress(at);
    }

    /// <summary>Goes back to an earlier <see cref="Mark"/>.</summary>
    public void Rewind(ulong mark) => _next = mark;

    public ulong Mark() => _next;

    public void Write(GuestAddress at, ReadOnlySpan<byte> bytes) => Assert.True(Table.TryWrite(at, bytes));

    public byte[] Read(GuestAddress at, int lengthBytes)
    {
        var bytes = new byte[lengthBytes];
        Assert.True(Table.TryRead(at, bytes));
        return bytes;
    }

    /// <summary>Punches a hole, as a front-end does for a balloon: the kernel puts fresh pages there when they are touched again.</summary>
    public void GiveBack(GuestAddress at, ulong bytes) => Assert.Equal(0, _file.Allocate(AllocateMode.PunchHole, at.Value - Base, bytes));

    public void Dispose()
    {
        _file.Dispose();
        Table.Release();
    }
}
