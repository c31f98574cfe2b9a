namespace Paravane.Hypervisor.Legacy;

/// <summary>Finds the keys that are ours in what is typed: Ctrl-A X leaves, Ctrl-A Ctrl-A is one Ctrl-A for the guest. All else is the guest's.</summary>
/// <remarks>One thread. Remembers a Ctrl-A over the end of a piece.</remarks>
internal struct EscapeKeys
{
    private const byte Prefix = 0x01; // Ctrl-A

    private bool _prefixSeen;

    /// <summary>Takes a piece of input, in place.</summary>
    /// <param name="bytes">What was read; its beginning becomes what the guest gets.</param>
    /// <param name="leave">Ctrl-A X was among it; what came behind is dropped.</param>
    /// <returns>Bytes for the guest.</returns>
    public int Filter(Span<byte> bytes, out bool leave)
    {
        int kept = 0;
        foreach (byte value in bytes)
        {
            if (_prefixSeen)
            {
                _prefixSeen = false;
                if (value is (byte)'x' or (byte)'X')
                {
                    leave = true;
                    return kept;
                }

                if (value == Prefix)
                {
                    bytes[kept++] = value;
                }
            }
            else if (value == Prefix)
            {
                _prefixSeen = true;
            }
            else
            {
                bytes[kept++] = value;
            }
        }

        leave = false;
        return kept;
    }
}
