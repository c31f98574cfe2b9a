namespace Paravane.Hypervisor.Bare;

/// <summary>Width of an access in bytes.</summary>
internal enum Width : byte
{
    /// <summary>8 bits.</summary>
    Byte = 1,

    /// <summary>16 bits.</summary>
    Word = 2,

    /// <summary>32 bits.</summary>
    Dword = 4,

    /// <summary>64 bits; not for ports.</summary>
    Qword = 8,
}
