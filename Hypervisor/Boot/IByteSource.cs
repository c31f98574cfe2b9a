namespace Paravane.Hypervisor.Boot;

/// <summary>Bytes of known length that are copied into guest memory: a file, or what was unpacked from one.</summary>
internal interface IByteSource
{
    /// <summary>Begins a message about it: <c>initrd 'PATH'</c>.</summary>
    string Name { get; }

    /// <summary>Length in bytes.</summary>
    ulong LengthBytes { get; }

    /// <summary>Fills <paramref name="target"/> from byte <paramref name="offset"/> on.</summary>
    /// <exception cref="BootException">There are not so many bytes, or they cannot be read.</exception>
    void Read(ulong offset, Span<byte> target);
}
